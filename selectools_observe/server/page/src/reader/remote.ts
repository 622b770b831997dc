/** The reader's questions as messages: asked of a worker, or of this thread where there is none. */

import { asPageError, PageError, type Trouble } from "../errors";
import type { Block } from "./embedded";
import { makeReader, type Reader } from "./service";

type Verb = Exclude<{ [Name in keyof Reader]: Reader[Name] extends Function ? Name : never }[keyof Reader], never>;
type Question = { id: number; verb: Verb; words: unknown[] } | { base: string; blocks: Block[] | null };
type Answer = { id: number; value?: unknown; trouble?: Trouble; message?: string };

export type Ask = <Name extends Verb>(
  verb: Name,
  ...words: Parameters<Reader[Name]>
) => Promise<Awaited<ReturnType<Reader[Name]>>>;

/** What the script does when it finds itself in a worker. */
export function answer(scope: DedicatedWorkerGlobalScope): void {
  let reader: Reader | null = null;
  scope.onmessage = async (event: MessageEvent<Question>) => {
    const question = event.data;
    if ("base" in question) {
      reader = makeReader(question.base, question.blocks);
      return;
    }
    try {
      const value = await call(reader!, question.verb, question.words);
      scope.postMessage({ id: question.id, value } satisfies Answer);
    } catch (error) {
      const { trouble, message } = asPageError(error);
      scope.postMessage({ id: question.id, trouble, message } satisfies Answer);
    }
  };
}

/** The worker starts with the first question: until then, nothing competes with the first rows. */
export function connect(script: string | null, base: string, blocks: Block[] | null): Ask {
  const waiting = new Map<number, Waiter>();
  let last = 0;
  let worker: Worker | null | undefined;
  let here: Reader | null = null;
  const ask = ({ verb, words, resolve, reject }: Waiter) => {
    here ??= makeReader(base, blocks);
    call(here, verb, words).then(resolve as (value: unknown) => void, reject);
  };
  const started = () => {
    const one = script === null ? null : startWorker(script);
    one?.postMessage({ base, blocks } satisfies Question);
    one?.addEventListener("message", (event: MessageEvent<Answer>) => {
      const { id, value, trouble, message } = event.data;
      const waiter = waiting.get(id);
      waiting.delete(id);
      if (trouble) waiter?.reject(new PageError(trouble, message ?? ""));
      else waiter?.resolve(value as never);
    });
    // A worker that cannot start (some browsers refuse one to a file): this thread reads instead.
    one?.addEventListener("error", () => {
      here ??= makeReader(base, blocks);
      waiting.forEach(ask);
      waiting.clear();
    });
    return one;
  };
  return (verb, ...words) =>
    new Promise((resolve, reject) => {
      const waiter: Waiter = { verb, words, resolve, reject };
      if (worker === undefined) worker = started();
      if (!worker || here) return ask(waiter);
      waiting.set(++last, waiter);
      worker.postMessage({ id: last, verb, words } satisfies Question);
    });
}

interface Waiter {
  verb: Verb;
  words: unknown[];
  resolve: (value: never) => void;
  reject: (error: Error) => void;
}

function startWorker(script: string): Worker | null {
  try {
    return new Worker(script);
  } catch {
    return null; // the same work in this thread, slower
  }
}

function call(reader: Reader, verb: Verb, words: unknown[]): Promise<unknown> {
  return Promise.resolve((reader[verb] as (...words: unknown[]) => unknown).apply(reader, words));
}

interface DedicatedWorkerGlobalScope {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown): void;
}
