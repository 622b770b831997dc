/** What can go wrong while reading, each with words for people. */

export type Trouble = "unreachable" | "missing" | "token" | "refused" | "broken";

export class PageError extends Error {
  constructor(
    readonly trouble: Trouble,
    message: string,
  ) {
    super(message);
  }
}

export function asPageError(error: unknown): PageError {
  if (error instanceof PageError) return error;
  return new PageError("broken", error instanceof Error ? error.message : String(error));
}
