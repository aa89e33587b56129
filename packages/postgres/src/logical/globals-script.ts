// Makes what pg_dumpall --globals-only wrote safe to apply to a cluster that is in use: cut into statements by PostgreSQL's
// quoting rules, psql's own commands dropped, passwords left out where they shall stay. Pure.
// Manual: "Lexical Structure" (sql-syntax-lexical); psql meta-commands (\restrict since August 2025) are not SQL.

import { AppError } from '@varve/base';

/** A dump of globals, sorted into what runs how. */
export interface GlobalsScript {
  /** Statements about roles, in order, that can run in one transaction. */
  readonly roleStatements: readonly GlobalStatement[];
  /** Statements about tablespaces; CREATE TABLESPACE cannot run in a transaction. */
  readonly tablespaceStatements: readonly GlobalStatement[];
}

export interface GlobalStatement {
  /** Name of the role or tablespace when the statement creates one. */
  readonly creates: string | undefined;
  readonly sql: string;
}

const createsObject = /^CREATE (?:ROLE|TABLESPACE)\s+/;
const aboutTablespace =
  /^(?:CREATE|ALTER|COMMENT ON|(?:GRANT|REVOKE)\b[^"]*\bON|SECURITY LABEL\b[^"]*\bON) TABLESPACE\s/;

/** Cuts and sorts a dump. `keepPasswordOf`: roles whose password stays as it is on the cluster. */
export function readGlobals(dump: string, options: { readonly keepPasswordOf: readonly string[] }): GlobalsScript {
  const roleStatements: GlobalStatement[] = [];
  const tablespaceStatements: GlobalStatement[] = [];
  for (const statement of splitStatements(dump)) {
    const match = createsObject.exec(statement);
    const creates = match ? readIdentifier(statement.slice(match[0].length)).name : undefined;
    const sql = keepsPassword(statement, options.keepPasswordOf) ? withoutPassword(statement) : statement;
    (aboutTablespace.test(statement) ? tablespaceStatements : roleStatements).push({ creates, sql });
  }
  return { roleStatements, tablespaceStatements };
}

function keepsPassword(statement: string, roles: readonly string[]): boolean {
  const prefix = 'ALTER ROLE ';
  return statement.startsWith(prefix) && roles.includes(readIdentifier(statement.slice(prefix.length)).name);
}

function withoutPassword(statement: string): string {
  const { rest } = readIdentifier(statement.slice('ALTER ROLE '.length));
  const name = statement.slice(0, statement.length - rest.length);
  return name + rest.replace(/ PASSWORD '(?:[^']|'')*'/, '');
}

/** The identifier that a text starts with, and what follows it. */
function readIdentifier(text: string): { readonly name: string; readonly rest: string } {
  const quoted = /^"((?:[^"]|"")*)"/.exec(text);
  if (quoted) return { name: (quoted[1] ?? '').replaceAll('""', '"'), rest: text.slice(quoted[0].length) };
  const plain = /^[^\s;]+/.exec(text)?.[0] ?? '';
  return { name: plain, rest: text.slice(plain.length) };
}

/** What one step over SQL text can be: a comment, a quoted part, a psql command, the end of a statement, or anything. */
const token =
  /--[^\n]*|\/\*[\s\S]*?\*\/|[eE]'(?:[^'\\]|''|\\[\s\S])*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\\[^\n]*|;|[^-/'"\\;eE]+|[\s\S]/gy;

/**
 * Statements without their semicolons, comments dropped. The dump sets standard_conforming_strings, so that a backslash in
 * an ordinary literal is just a character. Throws DATABASE_RESTORE_FAILED when a psql command other than \restrict and
 * \unrestrict stands outside quotes: an altered dump could run programs with it.
 */
export function splitStatements(dump: string): string[] {
  const statements: string[] = [];
  let current = '';
  for (const [part] of dump.matchAll(token)) {
    if (part.startsWith('--') || part.startsWith('/*')) {
      current += ' ';
    } else if (part.startsWith('\\')) {
      if (!/^\\(un)?restrict\b/.test(part) || current.trim() !== '') {
        throw new AppError(
          'DATABASE_RESTORE_FAILED',
          'The dump of roles holds a psql command where only SQL may stand.',
          {
            hint: 'The dump was damaged or altered; nothing was changed. Restore from another snapshot.',
          },
        );
      }
    } else if (part === ';') {
      if (current.trim() !== '') statements.push(current.trim());
      current = '';
    } else {
      current += part;
    }
  }
  if (current.trim() !== '') {
    throw new AppError('DATABASE_RESTORE_FAILED', 'The dump of roles ends in the middle of a statement.', {
      hint: 'The dump is not whole; nothing was changed. Restore from another snapshot.',
    });
  }
  return statements;
}
