// Runs the command line in this process, for tests of what commands print. The launcher is tested elsewhere.

import type { ReadStream } from 'node:tty';
import type { TextOutput } from '../src/io.ts';
import { runCli } from '../src/run.ts';

export interface CapturedRun {
  readonly exitCode: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

class CapturedOutput implements TextOutput {
  readonly isTerminal = false;
  readonly columns = 80;
  readonly colors = false;
  readonly isClosed = false;
  readonly #parts: Buffer[] = [];

  write(text: string): void {
    this.#parts.push(Buffer.from(text));
  }

  writeBytes(bytes: Uint8Array): Promise<void> {
    this.#parts.push(Buffer.from(bytes));
    return Promise.resolve();
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** Nobody types: commands that ask fail. */
export async function runInProcess(
  argv: readonly string[],
  options: { readonly cwd: string; readonly env: Readonly<Record<string, string | undefined>> },
): Promise<CapturedRun> {
  const [out, err] = [new CapturedOutput(), new CapturedOutput()];
  const stdin = { isTTY: false } as ReadStream;
  const io = { env: options.env, cwd: options.cwd, stdin, out, err };
  const exitCode = await runCli({ argv: [...argv], io, signal: new AbortController().signal });
  return { exitCode, stdout: out.bytes, stderr: err.bytes.toString() };
}
