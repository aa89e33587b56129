// Physical replication slots: how a server is told to keep the WAL that we have not got yet. Sessions with
// replication: 'database' run these. Manual: "Replication Slots" (streaming-replication-slots), protocol-replication,
// view pg_replication_slots.

import { AppError, isAppError } from '@varve/base';
import type { PgConnection, RequestOptions } from '../connection/connection.ts';
import { replicationHint } from '../connection/server-errors.ts';
import { parseLsn, type Lsn } from '../lsn.ts';
import { readObject } from '../server-facts.ts';
import { quoteLiteral } from '../sql-quoting.ts';

/** What a server knows about a slot. */
export interface SlotFacts {
  readonly name: string;
  readonly isPhysical: boolean;
  readonly isTemporary: boolean;
  /** Somebody streams from it; `activePid` is the server process. */
  readonly isActive: boolean;
  readonly activePid: number | undefined;
  /** WAL from here on is kept. Undefined: nothing was ever reserved, or it was lost. */
  readonly restartLsn: Lsn | undefined;
  /** `lost`: WAL that it needs is gone. `unreserved`: it may go at the next checkpoint. Undefined: nothing is reserved. */
  readonly walStatus: 'reserved' | 'extended' | 'unreserved' | 'lost' | undefined;
  /** WAL that may still be written before the slot is in danger. Undefined: no limit is set. May be negative. */
  readonly safeWalBytes: number | undefined;
  /** WAL that the server keeps for this slot today. */
  readonly retainedBytes: number | undefined;
  /** max_slot_wal_keep_size. Undefined: unlimited, so a slot that nobody reads fills the server's disk. */
  readonly keepLimitBytes: number | undefined;
}

/** Servers from here on have options in parentheses. */
const parenthesesVersion = 150_000;
const slotName = /^[a-z0-9_]{1,63}$/;

/** Throws USAGE_INVALID for what PostgreSQL does not take as the name of a slot. */
export function checkSlotName(name: string): string {
  if (slotName.test(name)) return name;
  throw new AppError('USAGE_INVALID', `“${name}” cannot be the name of a replication slot.`, {
    hint: 'Use lower-case letters, digits and underscores, at most 63.',
  });
}

/**
 * Makes a slot that keeps WAL from this moment on. Throws WAL_SLOT_UNUSABLE (`context.reason`: `exists`, `none-free`),
 * DATABASE_DENIED without the REPLICATION attribute.
 */
export async function createPhysicalSlot(
  connection: PgConnection,
  name: string,
  options: RequestOptions & { readonly temporary?: boolean | undefined } = {},
): Promise<SlotFacts> {
  checkSlotName(name);
  const temporary = options.temporary ? ' TEMPORARY' : '';
  const reserve = connection.versionNum >= parenthesesVersion ? '(RESERVE_WAL)' : 'RESERVE_WAL';
  const command = `CREATE_REPLICATION_SLOT "${name}"${temporary} PHYSICAL ${reserve}`;
  try {
    await connection.query(command, { signal: options.signal });
  } catch (error) {
    throw slotError(error, { name, connection });
  }
  const facts = await readSlot(connection, name, options);
  if (facts?.restartLsn !== undefined) return facts;
  throw unusable(`The replication slot “${name}” was dropped or changed while it was being made.`, name, 'missing');
}

/** What the server knows about a slot; undefined when there is none of that name. */
export async function readSlot(
  connection: PgConnection,
  name: string,
  options: RequestOptions = {},
): Promise<SlotFacts | undefined> {
  const [slot] = await selectSlots(connection, `where slot_name = ${quoteLiteral(checkSlotName(name))}`, options);
  return slot;
}

/** All slots of the cluster, by name. */
export function listSlots(connection: PgConnection, options: RequestOptions = {}): Promise<SlotFacts[]> {
  return selectSlots(connection, '', options);
}

/**
 * Drops a slot; from then on the server keeps no WAL for it. `wait`: until nobody uses it, in place of an error. Throws
 * WAL_SLOT_UNUSABLE (`context.reason`: `missing`, `active`).
 */
export async function dropSlot(
  connection: PgConnection,
  name: string,
  options: RequestOptions & { readonly wait?: boolean | undefined } = {},
): Promise<void> {
  checkSlotName(name);
  try {
    await connection.query(`DROP_REPLICATION_SLOT "${name}"${options.wait ? ' WAIT' : ''}`, { signal: options.signal });
  } catch (error) {
    throw slotError(error, { name, connection });
  }
}

/** Throws WAL_SLOT_UNUSABLE when the slot is not physical, was lost, or is in use by somebody else. */
export function assertSlotUsable(slot: SlotFacts): void {
  const { name } = slot;
  if (!slot.isPhysical) {
    throw unusable(
      `The replication slot “${name}” is a logical one; WAL is captured by a physical slot.`,
      name,
      'logical',
    );
  }
  if (slot.walStatus === 'lost') {
    throw unusable(
      `The replication slot “${name}” is lost: the server has removed WAL that it stood for.`,
      name,
      'lost',
      {
        hint: 'Drop the slot, make a new one, and then a base backup. A larger max_slot_wal_keep_size gives more time.',
      },
    );
  }
  if (slot.isActive) throw busySlot(name, slot.activePid);
}

/** The error when a slot is not there. */
export function missingSlot(name: string): AppError {
  return unusable(`The server has no replication slot “${name}”.`, name, 'missing', {
    hint: 'It was never made, or somebody dropped it: make it, then look whether WAL is missing in between.',
  });
}

function busySlot(name: string, pid: number | undefined): AppError {
  const owner = pid === undefined ? '' : ` by server process ${pid}`;
  return unusable(`The replication slot “${name}” is in use${owner}.`, name, 'active', {
    hint: 'Another receiver streams from it. After a lost connection the server frees it within wal_sender_timeout (60 s).',
    retry: true,
  });
}

type UnusableReason = 'exists' | 'missing' | 'active' | 'lost' | 'logical' | 'none-free';

function unusable(
  message: string,
  name: string,
  reason: UnusableReason,
  options: { readonly hint?: string; readonly retry?: boolean; readonly cause?: unknown } = {},
): AppError {
  return new AppError('WAL_SLOT_UNUSABLE', message, { ...options, context: { slot: name, reason } });
}

/** Errors of commands that name a slot, by SQLSTATE: 42710 duplicate_object, 42704 undefined_object, 55006 object_in_use,
 * 53400 configuration_limit_exceeded, 55000 object_not_in_prerequisite_state. Others pass unchanged. */
export function slotError(
  error: unknown,
  options: { readonly name: string; readonly connection: PgConnection },
): unknown {
  if (!isAppError(error)) return error;
  const { name, connection } = options;
  switch (error.context['sqlState']) {
    case '42710':
      return unusable(`There is a replication slot “${name}” already.`, name, 'exists', { cause: error });
    case '42704':
      return missingSlot(name);
    case '55006':
      return busySlot(name, undefined);
    case '53400':
      return unusable(`The server has no free replication slot for “${name}”.`, name, 'none-free', {
        hint: 'Drop a slot that nobody uses, or raise max_replication_slots (needs a restart).',
        cause: error,
      });
    case '55000':
      return unusable(`The server refuses the replication slot “${name}”: ${error.message}`, name, 'lost', {
        hint: 'With wal_level minimal no slot works; a slot that was invalidated must be dropped and made anew.',
        cause: error,
      });
    case '42501': {
      const { message, context } = error;
      return new AppError('DATABASE_DENIED', message, {
        hint: replicationHint(connection.server.user),
        context,
        cause: error,
      });
    }
    default:
      return error;
  }
}

/** Whole rows as JSON, because columns have come with the versions. The limit is in MB, -1 for none. */
async function selectSlots(connection: PgConnection, condition: string, options: RequestOptions): Promise<SlotFacts[]> {
  const position = 'case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end';
  const [result] = await connection.query(
    `select to_jsonb(s), (${position} - restart_lsn)::text,
       (select setting from pg_settings where name = 'max_slot_wal_keep_size')
     from pg_replication_slots s ${condition} order by slot_name`,
    options,
  );
  return (result?.rows ?? []).map(([json, retained, limit]) => factsOf(json ?? '', retained ?? null, limit ?? null));
}

function factsOf(json: string, retained: string | null, limitMb: string | null): SlotFacts {
  const row = readObject(json, 'a replication slot');
  const { restart_lsn: restartLsn, wal_status: status, safe_wal_size: safe, active_pid: pid } = row;
  const isKnownStatus = status === 'reserved' || status === 'extended' || status === 'unreserved' || status === 'lost';
  const limit = Number(limitMb ?? -1);
  return {
    name: String(row['slot_name']),
    isPhysical: row['slot_type'] === 'physical',
    isTemporary: row['temporary'] === true,
    isActive: row['active'] === true,
    activePid: typeof pid === 'number' ? pid : undefined,
    restartLsn: typeof restartLsn === 'string' ? parseLsn(restartLsn) : undefined,
    walStatus: isKnownStatus ? status : undefined,
    safeWalBytes: typeof safe === 'number' ? safe : undefined,
    retainedBytes: retained === null ? undefined : Math.max(0, Number(retained)),
    keepLimitBytes: limit < 0 ? undefined : limit * 1024 * 1024,
  };
}
