/** Numbers as Python writes and rounds them. Knows numbers alone. */

/** The sign and the digits of a finite number's shortest spelling, and the power of ten of the first digit. */
function shortest(value: number): { sign: string; digits: string; power: number } {
  const [mantissa, exponent] = Math.abs(value).toExponential().split("e") as [string, string];
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  return { sign, digits: mantissa.replace(".", ""), power: Number(exponent) };
}

function positional(digits: string, power: number): string {
  if (power < 0) return `0.${"0".repeat(-power - 1)}${digits}`;
  if (digits.length <= power + 1) return digits.padEnd(power + 1, "0");
  return `${digits.slice(0, power + 1)}.${digits.slice(power + 1)}`;
}

/** `repr` of a float: always with a point or an exponent. */
export function spellFloat(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
  const { sign, digits, power } = shortest(value);
  if (power < -4 || power >= 16) {
    const mantissa = digits.length > 1 ? `${digits[0]}.${digits.slice(1)}` : digits;
    return `${sign}${mantissa}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  const plain = positional(digits, power);
  return sign + (plain.includes(".") ? plain : `${plain}.0`);
}

/** A float as msgspec's JSON has it, of which fingerprints are taken. */
export function encodeFloat(value: number): string {
  if (!Number.isFinite(value)) return "null";
  const { sign, digits, power } = shortest(value);
  if (power < -5 || power >= 16) {
    const mantissa = digits.length > 1 ? `${digits[0]}.${digits.slice(1)}` : digits;
    return `${sign}${mantissa}e${power}`;
  }
  const plain = positional(digits, power);
  return sign + (plain.includes(".") ? plain : `${plain}.0`);
}

/** `f"{value:g}"` without an exponent: six digits, half to even; "" where it would take one. */
export function spellGeneral(value: number): string {
  if (value === 0) return Object.is(value, -0) ? "-0" : "0";
  const sign = value < 0 ? "-" : "";
  // a hundred digits spell every number of these magnitudes exactly
  const [mantissa, exponent] = Math.abs(value).toExponential(99).split("e") as [string, string];
  const [digits, carried] = roundDigits(mantissa.replace(".", ""), 6);
  const power = Number(exponent) + carried;
  if (power < -4 || power >= 6) return "";
  const plain = positional(digits.replace(/0+$/, ""), power);
  return sign + plain;
}

/** `round(value, 4)`, half to even of what the number exactly is. */
export function roundToFour(value: number): number {
  if (Number.isInteger(value) || !Number.isFinite(value)) return value;
  const [whole, part] = Math.abs(value).toFixed(100).split(".") as [string, string];
  const [digits, carried] = roundDigits(whole + part, whole.length + 4);
  const places = whole.length + carried;
  const rounded = Number(`${digits.slice(0, places)}.${digits.slice(places)}`);
  return value < 0 ? -rounded : rounded;
}

/** The first digits of an exact spelling, rounded half to even; and 1 where that made one digit more before the point. */
function roundDigits(digits: string, kept: number): [string, number] {
  const head = digits.slice(0, kept);
  const rest = digits.slice(kept).replace(/0+$/, "");
  const up = rest > "5" || (rest === "5" && Number(head[head.length - 1]) % 2 === 1);
  if (!up) return [head, 0];
  const raised = (BigInt(head) + 1n).toString().padStart(head.length, "0");
  return [raised, raised.length - head.length];
}
