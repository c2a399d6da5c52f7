import type { ErrorObject } from "ajv";

/** Why a document was refused; the same three parts as Invalid in Go. */
export interface Fault {
  /** JSON Pointer; a missing or an undeclared member is pointed at as if it were there. */
  readonly pointer: string;
  /** The keyword of JSON Schema that is broken. */
  readonly keyword: string;
  readonly message: string;
}

/**
 * Picks, out of everything that Ajv (with allErrors) complains of, the fault that Go's validators
 * report too: a wrong value before an undeclared member, then the deepest, then by pointer and
 * keyword. Undefined if there is none.
 */
export function firstFault(errors: readonly ErrorObject[]): Fault | undefined {
  return errors.filter(isFault).map(toFault).sort(compareFaults)[0];
}

/**
 * Leaves out what only says how a fault was reached. An anyOf is "this, or null": of a value that
 * is not null only the first says anything useful.
 */
function isFault(error: ErrorObject): boolean {
  if (error.keyword === "if" || error.keyword === "anyOf") return false;
  return !(/\/anyOf\/\d+\/type$/.test(error.schemaPath) && error.params["type"] === "null");
}

const memberParameter: Readonly<Record<string, string>> = {
  required: "missingProperty",
  additionalProperties: "additionalProperty",
  unevaluatedProperties: "unevaluatedProperty",
};

function toFault(error: ErrorObject): Fault {
  const parameter = memberParameter[error.keyword];
  const member = parameter === undefined ? "" : "/" + escapeToken(String(error.params[parameter]));
  return {
    pointer: error.instancePath + member,
    keyword: error.keyword === "false schema" ? "false" : error.keyword,
    message: error.message ?? "does not match its schema",
  };
}

function escapeToken(token: string): string {
  return token.replaceAll("~", "~0").replaceAll("/", "~1");
}

function compareFaults(a: Fault, b: Fault): number {
  return (
    Number(isClosing(a)) - Number(isClosing(b)) ||
    depth(b) - depth(a) ||
    compareText(a.pointer, b.pointer) ||
    compareText(a.keyword, b.keyword)
  );
}

/**
 * When something else is wrong in an object, validators call its other members undeclared too, so
 * these faults come last.
 */
function isClosing(fault: Fault): boolean {
  return fault.keyword === "additionalProperties" || fault.keyword === "unevaluatedProperties";
}

function depth(fault: Fault): number {
  return fault.pointer.split("/").length;
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
