#!/usr/bin/env node
/** The command `learned-router-check DIR…`: replay the reference decisions of artifacts; exit 1 where one differs. */

import { LearnedRouterError } from "./errors.js";
import { checkFolder } from "./node.js";

const folders = process.argv.slice(2);
if (!folders.length || folders.some((folder) => folder.startsWith("-"))) {
  console.error("usage: learned-router-check DIR…    replay the reference decisions of artifact folders");
  process.exit(2);
}
for (const folder of folders) {
  try {
    const { routed, judged, off, problems } = await checkFolder(folder);
    for (const problem of problems) console.log(`${folder}: ${problem}`);
    const same = routed + judged - problems.length;
    console.log(
      `${folder}: ${same} of ${routed + judged} reference decisions as recorded (${routed} of the router, ${judged} of ` +
        `the gate); qualities differ by ${off.toFixed(4)} at most`,
    );
    if (problems.length) process.exitCode = 1;
  } catch (error) {
    if (!(error instanceof LearnedRouterError)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}
