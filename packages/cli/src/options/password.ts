// Where the password of a repository comes from: a file, a command, the environment, or a person at the terminal. Never the
// command line, which every user of the machine can read.

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { AppError, messageOf, Secret } from '@varve/base';
import { askSecret, canAsk } from '../prompt/terminal-input.ts';
import type { Session } from '../session.ts';
import { splitWords } from './split-words.ts';

export interface PasswordOptions {
  readonly passwordFile?: string;
  readonly passwordCommand?: string;
}

const maxPasswordBytes = 1024 * 1024;

/**
 * The password; asked twice when a repository is made. Options come before the environment, VARVE_* before RESTIC_*, as in
 * restic a file before a command before the text. REPOSITORY_PASSWORD_MISSING when there is none and nobody to ask.
 */
export async function readPassword(
  session: Session,
  options: PasswordOptions & { readonly isNew: boolean; readonly stdinIsData?: boolean },
): Promise<Secret> {
  const { io } = session;
  const { env } = io;
  if (options.passwordFile !== undefined) return fromFile(session, options.passwordFile);
  if (options.passwordCommand !== undefined) return fromCommand(session, options.passwordCommand);
  if (env['VARVE_PASSWORD_FILE']) return fromFile(session, env['VARVE_PASSWORD_FILE']);
  if (env['VARVE_PASSWORD']) return new Secret(env['VARVE_PASSWORD']);
  if (env['RESTIC_PASSWORD_FILE']) return fromFile(session, env['RESTIC_PASSWORD_FILE']);
  if (env['RESTIC_PASSWORD_COMMAND']) return fromCommand(session, env['RESTIC_PASSWORD_COMMAND']);
  if (env['RESTIC_PASSWORD']) return new Secret(env['RESTIC_PASSWORD']);
  if (!canAsk(io) || options.stdinIsData) {
    throw new AppError('REPOSITORY_PASSWORD_MISSING', 'The password of the repository was not given.', {
      hint: 'Give it with --password-file FILE, or in the environment as VARVE_PASSWORD or VARVE_PASSWORD_FILE.',
    });
  }
  return askPassword(session, options.isNew);
}

async function askPassword(session: Session, isNew: boolean): Promise<Secret> {
  const { io, signal } = session;
  const question = isNew ? 'Password for the new repository: ' : 'Password of the repository: ';
  const password = await askSecret(io, question, signal);
  if (password.reveal() === '') throw empty('An empty password was given.');
  if (!isNew) return password;
  const again = await askSecret(io, 'The same again: ', signal);
  if (again.reveal() === password.reveal()) return password;
  throw new AppError('USAGE_INVALID', 'The two passwords differ.', { hint: 'Nothing was made. Try again.' });
}

async function fromFile(session: Session, file: string): Promise<Secret> {
  const path = resolve(session.io.cwd, file);
  let text: string;
  try {
    text = await readFile(path, { encoding: 'utf8', signal: session.signal });
  } catch (error) {
    throw new AppError('REPOSITORY_PASSWORD_MISSING', `The password file ${path} cannot be read: ${messageOf(error)}`, {
      hint: 'Check the path and its permissions.',
      cause: error,
    });
  }
  return trimmed(text, `The password file ${path} is empty.`);
}

async function fromCommand(session: Session, line: string): Promise<Secret> {
  const [program = '', ...args] = splitWords(line);
  try {
    const run = promisify(execFile);
    const { stdout } = await run(program, args, {
      signal: session.signal,
      maxBuffer: maxPasswordBytes,
      cwd: session.io.cwd,
    });
    return trimmed(stdout, `The password command ${program} printed nothing.`);
  } catch (error) {
    if (error instanceof AppError) throw error;
    // The error's own text has the command line and its output, which may hold the secret.
    const status = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : '';
    throw new AppError('REPOSITORY_PASSWORD_MISSING', `The password command ${program} failed${status}.`, {
      hint: 'Run it by hand to see why. It must print the password and end with 0.',
    });
  }
}

/** As restic does: white space around the password is no part of it. */
function trimmed(text: string, message: string): Secret {
  const password = text.trim();
  if (password === '') throw empty(message);
  return new Secret(password);
}

function empty(message: string): AppError {
  return new AppError('REPOSITORY_PASSWORD_MISSING', message, { hint: 'A repository needs a password.' });
}
