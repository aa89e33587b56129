// Where PostgreSQL's own programs run: in the database's container (docker exec) or on this host. One contract, so that
// everything above does not know which.

import { AppError, redact, Secret } from '@varve/base';

/** One program to run. Secrets go into `env` only, never into `command`: arguments are visible in process lists. */
export interface ToolRequest {
  /** Program and arguments; the program by its bare name (`pg_dump`). */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string | Secret>>;
  /** Bytes for standard input; none: it is empty. When it fails, the program is ended and `finished` rejects with its error. */
  readonly stdin?: AsyncIterable<Uint8Array> | undefined;
  /** An abort ends the program. */
  readonly signal?: AbortSignal | undefined;
}

/** A running program. Read `stdout` to its end (or abort), then await `finished`. */
export interface ToolRun {
  readonly stdout: AsyncIterable<Uint8Array>;
  /**
   * Settles when the program has ended and its output is complete; the exit code is 128 + n after signal n. Rejects with
   * CANCELLED after an abort, with the error of `stdin`, or when the place itself failed (container gone).
   */
  readonly finished: Promise<ToolExit>;
}

export interface ToolExit {
  readonly exitCode: number;
  /** Standard error; at least its last 64 KiB. */
  readonly stderr: string;
}

/** Runs programs. `run` throws DATABASE_TOOL_MISSING when the place does not have the program. */
export interface ToolRunner {
  run(request: ToolRequest): ToolRun;
}

/** Standard output as text, and how the program ended. For small outputs. */
export async function runToEnd(
  runner: ToolRunner,
  request: ToolRequest,
): Promise<ToolExit & { readonly stdout: string }> {
  const run = runner.run(request);
  // A failure is reported by the await below; until then it must not count as unhandled.
  run.finished.catch(() => undefined);
  const chunks: Uint8Array[] = [];
  for await (const chunk of run.stdout) chunks.push(chunk);
  const exit = await run.finished;
  return { ...exit, stdout: Buffer.concat(chunks).toString('utf8') };
}

/** The last lines of a program's standard error, without secrets: what an error shows. */
export function lastLines(stderr: string, request: Pick<ToolRequest, 'env'>, count = 5): string {
  const secrets = Object.values(request.env).filter((value) => value instanceof Secret);
  const lines = redact(stderr, secrets).trimEnd().split('\n');
  return lines.slice(-count).join('\n');
}

/** Exit codes by which a shell or a container engine says that there is no such program. */
const notFoundExitCodes = new Set([126, 127]);

/** Throws DATABASE_TOOL_MISSING when the exit says that the program is not there. */
export function assertToolPresent(exit: ToolExit, command: readonly string[]): void {
  if (!notFoundExitCodes.has(exit.exitCode)) return;
  throw new AppError('DATABASE_TOOL_MISSING', `The program ${command[0]} is not there where the database is saved.`, {
    hint: 'Use an image that has the PostgreSQL client programs, or install them (Debian: apt-get install postgresql-client).',
    context: { program: command[0], exitCode: exit.exitCode },
  });
}
