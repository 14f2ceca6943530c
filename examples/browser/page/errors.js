// What went wrong, for people: a stable code, as in docs/verdict.md, and one line.

export class Refusal extends Error {
  /** @param {string} code  @param {string} message what was wanted, what came, what to do */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}
