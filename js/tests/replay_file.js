/**
 * Decides the references of a file by an artifact; prints a JSON summary.
 *
 * usage: node replay_file.js FOLDER REFERENCES.jsonl
 */

import { readFileSync } from "node:fs";

import { parseReferences, replay, Router } from "learned-router/node";

const [folder, path] = process.argv.slice(2);
const router = await Router.load(folder);
console.log(JSON.stringify(await replay(router, parseReferences(readFileSync(path)))));
