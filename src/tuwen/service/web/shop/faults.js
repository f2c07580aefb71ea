// What went wrong, in the words of who shops: what it means for her, and what she can do. What the service says stays below it.
import { Problem, problemBox, say } from "./core.js";

const WORDED = [401, 413, 422, 429, 500, 503, 507];
const ALIKE = { 0: "unreached", 400: 422, 403: 401, 408: 503, 414: 422, 431: 422, 502: 503, 504: 503 };

function nameOf(error) {
  if (!(error instanceof Problem)) return 500;
  const name = ALIKE[error.status] ?? error.status;
  return name === "unreached" || WORDED.includes(name) ? name : 500;
}

/** In a sentence or two: for a toast. */
export const faultWords = (error) => say(`fault-${nameOf(error)}`);

/** As a box of the page, with what to do. */
export const faultBox = (error, retry) => problemBox(error, retry, { what: faultWords(error), todo: say(`fault-${nameOf(error)}-todo`) });
