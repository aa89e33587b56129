// Passwords from a file of lines `host:port:database:user:password`. Manual: "The Password File" (libpq-pgpass).

import { readFile, stat } from 'node:fs/promises';
import { AppError, Secret, systemErrorCode } from '@varve/base';

export interface PasswordQuestion {
  /** Path of the file, usually `~/.pgpass`. */
  readonly file: string;
  readonly host: string;
  readonly port: number;
  /** Set when the connection goes over a Unix socket: then `localhost` in the file matches too. */
  readonly socketPath?: string | undefined;
  readonly database: string;
  readonly user: string;
}

const othersMayRead = 0o077;

/**
 * The password of the first line that fits, or undefined when no line fits or there is no file. Throws SETTINGS_INVALID
 * when others may read the file (libpq ignores it then), STORAGE_DENIED when it cannot be read.
 */
export async function findPasswordInFile(question: PasswordQuestion): Promise<Secret | undefined> {
  let text: string;
  try {
    const { mode } = await stat(question.file);
    if ((mode & othersMayRead) !== 0) {
      throw new AppError(
        'SETTINGS_INVALID',
        `The password file ${question.file} is open to other users of this machine.`,
        {
          hint: `Close it: chmod 600 ${question.file}`,
        },
      );
    }
    text = await readFile(question.file, 'utf8');
  } catch (error) {
    if (error instanceof AppError) throw error;
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw new AppError('STORAGE_DENIED', `The password file ${question.file} cannot be read.`, { cause: error });
  }
  return findPassword(text, question);
}

/** The same on the text of a file. Pure. */
export function findPassword(text: string, question: Omit<PasswordQuestion, 'file'>): Secret | undefined {
  const hosts = question.socketPath === undefined ? [question.host] : [question.socketPath, 'localhost'];
  const wanted = [hosts, [String(question.port)], [question.database], [question.user]];
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith('#')) continue;
    const fields = splitFields(line);
    const password = fields[4];
    if (password === undefined || password === '') continue;
    if (wanted.every((options, index) => fields[index] === '*' || options.includes(fields[index] ?? ''))) {
      return new Secret(password);
    }
  }
  return undefined;
}

/** Splits at `:`; `\:` and `\\` stand for themselves. Only the first four separators count. */
function splitFields(line: string): string[] {
  const fields: string[] = [];
  let field = '';
  for (let index = 0; index < line.length; index++) {
    const character = line.charAt(index);
    if (character === '\\' && index + 1 < line.length) {
      index++;
      field += line.charAt(index);
    } else if (character === ':' && fields.length < 4) {
      fields.push(field);
      field = '';
    } else {
      field += character;
    }
  }
  return [...fields, field];
}
