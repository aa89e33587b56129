// Turns what a server reports (SQLSTATE and text) into the errors of this program. The mapping is by SQLSTATE, because
// messages are translated. Manual: "PostgreSQL Error Codes" (errcodes-appendix).

import { AppError, type ErrorCode } from '@varve/base';
import { quoteIdentifier } from '../sql-quoting.ts';
import type { ServerReport } from '../wire/backend-messages.ts';

/** Whom we spoke to, for messages. Never holds a password. */
export interface ServerName {
  /** `host:port` or the path of a socket. */
  readonly address: string;
  readonly user: string;
  readonly database: string;
}

interface Verdict {
  readonly code: ErrorCode;
  readonly hint?: string | undefined;
  readonly retry?: boolean;
}

/** The error for a report that came while the session started. */
export function startupError(report: ServerReport, server: ServerName, options: { replication: boolean }): AppError {
  const context = { ...server, sqlState: report.sqlState };
  const verdict = startupVerdict(report, server, options.replication);
  const message =
    verdict.code === 'DATABASE_AUTH_FAILED'
      ? `PostgreSQL at ${server.address} refused user “${server.user}” for database “${server.database}”: ${report.message}.`
      : `PostgreSQL at ${server.address} refused the session of user “${server.user}” in database “${server.database}”: ${report.message}.`;
  return new AppError(verdict.code, message, {
    context,
    ...(verdict.hint === undefined ? {} : { hint: verdict.hint }),
    retry: verdict.retry ?? false,
  });
}

function startupVerdict(report: ServerReport, server: ServerName, replication: boolean): Verdict {
  const { sqlState } = report;
  if (sqlState === '28P01') {
    return { code: 'DATABASE_AUTH_FAILED', hint: 'Check user and password, and whether the password was changed.' };
  }
  if (sqlState.startsWith('28')) {
    const hint = `Let user “${server.user}” in from this address: role, password or a line in the server's pg_hba.conf.`;
    return { code: 'DATABASE_AUTH_FAILED', hint };
  }
  if (sqlState === '42501') {
    return { code: 'DATABASE_DENIED', hint: replication ? replicationHint(server.user) : report.hint };
  }
  if (sqlState === '3D000') {
    return { code: 'DATABASE_QUERY_FAILED', hint: 'Check the name of the database; names are case-sensitive.' };
  }
  if (sqlState === '53300') {
    return {
      code: 'DATABASE_UNREACHABLE',
      retry: true,
      hint: 'The server has no free connection: raise max_connections or max_wal_senders, or try later.',
    };
  }
  if (sqlState.startsWith('57P') || sqlState.startsWith('53')) {
    return {
      code: 'DATABASE_UNREACHABLE',
      retry: true,
      hint: 'The server is starting, stopping or short of resources: try again in a moment.',
    };
  }
  return { code: 'DATABASE_QUERY_FAILED', hint: report.hint };
}

/** What to do when a role may not replicate. */
export function replicationHint(user: string): string {
  return `Run as a superuser: ALTER ROLE ${quoteIdentifier(user)} REPLICATION;`;
}

/** The error for a report that came in answer to a statement. */
export function statementError(report: ServerReport, server: ServerName): AppError {
  const context = {
    ...server,
    sqlState: report.sqlState,
    ...(report.detail === undefined ? {} : { detail: report.detail }),
  };
  const message = `PostgreSQL at ${server.address}, database “${server.database}”: ${report.message} (SQLSTATE ${report.sqlState}).`;
  const hint = report.hint === undefined ? {} : { hint: report.hint };
  if (report.sqlState === '42501') return new AppError('DATABASE_DENIED', message, { context, ...hint });
  if (/^(57P0[1-5]|08)/.test(report.sqlState)) {
    return new AppError('DATABASE_UNREACHABLE', message, { context, ...hint, retry: true });
  }
  return new AppError('DATABASE_QUERY_FAILED', message, {
    context,
    ...hint,
    retry: /^(40|53|55P03)/.test(report.sqlState),
  });
}
