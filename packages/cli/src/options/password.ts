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
 * Which password is wanted: that of the repository, that of the one to copy from (options and variables begin with `from`), or
 * the one that a key gets (they begin with `new`).
 */
export type PasswordRole = 'repository' | 'source' | 'new-key';

interface PasswordNames {
  /** Between `VARVE_` or `RESTIC_` and `PASSWORD`. */
  readonly prefix: string;
  readonly option: string;
  readonly question: string;
  readonly missing: string;
  /** The variables of restic are read too. */
  readonly hasRestic: boolean;
}

const passwordNames: Readonly<Record<PasswordRole, PasswordNames>> = {
  repository: {
    prefix: '',
    option: '--password-file',
    question: 'Password of the repository: ',
    missing: 'The password of the repository was not given.',
    hasRestic: true,
  },
  source: {
    prefix: 'FROM_',
    option: '--from-password-file',
    question: 'Password of the repository to copy from: ',
    missing: 'The password of the repository to copy from was not given.',
    hasRestic: true,
  },
  'new-key': {
    prefix: 'NEW_',
    option: '--new-password-file',
    question: 'New password: ',
    missing: 'The new password was not given.',
    hasRestic: false,
  },
};

/**
 * The password; asked twice when it is a new one. Options come before the environment, VARVE_* before RESTIC_*, as in
 * restic a file before a command before the text. REPOSITORY_PASSWORD_MISSING when there is none and nobody to ask.
 */
export async function readPassword(
  session: Session,
  options: PasswordOptions & {
    readonly isNew: boolean;
    readonly stdinIsData?: boolean;
    /** `repository` when absent. */
    readonly role?: PasswordRole;
  },
): Promise<Secret> {
  const { io } = session;
  const names = passwordNames[options.role ?? 'repository'];
  const variable = (program: 'VARVE' | 'RESTIC', what: string): string | undefined =>
    program === 'VARVE' || names.hasRestic ? io.env[`${program}_${names.prefix}${what}`] : undefined;
  if (options.passwordFile !== undefined) return fromFile(session, options.passwordFile);
  if (options.passwordCommand !== undefined) return fromCommand(session, options.passwordCommand);
  for (const program of ['VARVE', 'RESTIC'] as const) {
    const file = variable(program, 'PASSWORD_FILE');
    if (file) return fromFile(session, file);
    const line = variable(program, 'PASSWORD_COMMAND');
    if (line && program === 'RESTIC') return fromCommand(session, line);
    const text = variable(program, 'PASSWORD');
    if (text) return new Secret(text);
  }
  if (!canAsk(io) || options.stdinIsData) {
    const varve = `VARVE_${names.prefix}PASSWORD`;
    throw new AppError('REPOSITORY_PASSWORD_MISSING', names.missing, {
      hint: `Give it with ${names.option} FILE, or in the environment as ${varve} or ${varve}_FILE.`,
    });
  }
  const question = options.isNew && names.prefix === '' ? 'Password for the new repository: ' : names.question;
  return askPassword(session, { question, isNew: options.isNew });
}

async function askPassword(
  session: Session,
  { question, isNew }: { readonly question: string; readonly isNew: boolean },
): Promise<Secret> {
  const { io, signal } = session;
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
