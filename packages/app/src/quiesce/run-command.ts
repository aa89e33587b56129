// Runs one of the app's own commands (stop, start) without a shell. Its output goes to a file: a command that leaves a
// server behind in the background would keep a pipe open, and us waiting.

import { spawn } from 'node:child_process';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError, cancelledError, redact } from '@varve/base';

const shownLines = 5;

/** Resolves when the command itself has ended with 0. COMMAND_FAILED with the end of its output, CANCELLED after an abort. */
export async function runCommand(
  command: readonly string[],
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const [file, ...args] = command;
  if (file === undefined) return;
  const folder = await mkdtemp(join(tmpdir(), 'varve-command-'));
  try {
    const outputFile = join(folder, 'output');
    const output = await open(outputFile, 'w');
    let ended: string;
    try {
      ended = await runWithOutput(file, args, output.fd, options.signal);
    } finally {
      await output.close();
    }
    if (options.signal?.aborted) throw cancelledError(options.signal);
    if (ended === '0') return;
    const text = await readFile(outputFile, 'utf8');
    const lines = redact(text.trimEnd().split('\n').slice(-shownLines).join('\n'));
    throw new AppError('COMMAND_FAILED', `The command ${file} of the app failed (${ended}): ${lines}`, {
      hint: 'Run the command by hand and see why it fails.',
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function runWithOutput(
  file: string,
  args: readonly string[],
  fd: number,
  signal: AbortSignal | undefined,
): Promise<string> {
  return new Promise((resolve) => {
    const child = spawn(file, args, { stdio: ['ignore', fd, fd], ...(signal ? { signal } : {}) });
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, killedBy) =>
      resolve(code === null ? `ended by ${killedBy}` : code === 0 ? '0' : `exit code ${code}`),
    );
  });
}
