// Whether a server lets its WAL be captured, and whether doing so is safe for it: settings, free senders and slots, the
// role's rights. Manual: "Replication" (runtime-config-replication), "Replication Slots" (streaming-replication-slots).

import { AppError, formatBytes } from '@varve/base';
import type { PgConnection, RequestOptions } from '../connection/connection.ts';
import { replicationHint } from '../connection/server-errors.ts';

/** What decides, as the server tells it. */
export interface CaptureFacts {
  readonly user: string;
  readonly walLevel: string;
  readonly maxWalSenders: number;
  readonly usedWalSenders: number;
  readonly maxSlots: number;
  readonly usedSlots: number;
  /** How much WAL a slot may keep from being removed; null: without limit. */
  readonly slotKeepBytes: number | null;
  readonly mayReplicate: boolean;
}

/** Something to do before or while WAL is captured. `blocks`: nothing can be captured; `risk`: it can, at the server's risk. */
export interface CaptureObstacle {
  readonly severity: 'blocks' | 'risk';
  readonly message: string;
  readonly hint: string;
}

const factsSql = `select current_user, current_setting('wal_level'), current_setting('max_wal_senders'),
  (select count(*) from pg_stat_replication), current_setting('max_replication_slots'),
  (select count(*) from pg_replication_slots),
  (select setting from pg_settings where name = 'max_slot_wal_keep_size'),
  (select rolsuper or rolreplication from pg_roles where rolname = current_user)`;
const mebibyte = 1024 * 1024;

/** Reads the facts over a session, ordinary or replication. Throws as {@link PgConnection.query}. */
export async function readCaptureFacts(connection: PgConnection, options: RequestOptions = {}): Promise<CaptureFacts> {
  const [result] = await connection.query(factsSql, options);
  const row = result?.rows[0];
  if (!row) throw new AppError('DATABASE_PROTOCOL', 'The server told nothing about its replication settings.');
  const [user, walLevel, maxWalSenders, usedWalSenders, maxSlots, usedSlots, keepMebibytes, mayReplicate] = row;
  return {
    user: user ?? '',
    walLevel: walLevel ?? '',
    maxWalSenders: Number(maxWalSenders),
    usedWalSenders: Number(usedWalSenders),
    maxSlots: Number(maxSlots),
    usedSlots: Number(usedSlots),
    slotKeepBytes: Number(keepMebibytes) < 0 ? null : Number(keepMebibytes) * mebibyte,
    mayReplicate: mayReplicate === 't',
  };
}

/** What stands in the way, what blocks first. `ownSlots` of the used slots are ours already. Pure. */
export function captureObstacles(
  facts: CaptureFacts,
  options: { readonly ownSlots?: number; readonly ownSenders?: number } = {},
): readonly CaptureObstacle[] {
  const { ownSlots = 0, ownSenders = 0 } = options;
  const obstacles: CaptureObstacle[] = [];
  const block = (message: string, hint: string): void => void obstacles.push({ severity: 'blocks', message, hint });
  if (facts.walLevel === 'minimal') {
    block('wal_level is minimal: its WAL restores nothing', 'Set wal_level = replica and restart the server.');
  }
  if (!facts.mayReplicate) block(`the role “${facts.user}” may not replicate`, replicationHint(facts.user));
  if (facts.usedWalSenders - ownSenders >= facts.maxWalSenders) {
    block(
      `all of its ${facts.maxWalSenders} WAL senders are taken`,
      'Raise max_wal_senders (default 10) and restart the server, or end a standby that is not needed.',
    );
  }
  if (facts.usedSlots - ownSlots >= facts.maxSlots) {
    block(
      `all of its ${facts.maxSlots} replication slots are taken`,
      'Drop slots that nobody uses, or raise max_replication_slots (default 10) and restart the server.',
    );
  }
  if (facts.slotKeepBytes === null) {
    obstacles.push({
      severity: 'risk',
      message: 'max_slot_wal_keep_size is unlimited: while WAL cannot be captured it fills the disk of the server',
      hint: "Run as a superuser: ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'; SELECT pg_reload_conf();",
    });
  }
  return obstacles;
}

/** `10 of 10 senders …`: the facts in one line, for people. */
export function describeCaptureFacts(facts: CaptureFacts): string {
  const keep = facts.slotKeepBytes === null ? 'unlimited' : formatBytes(facts.slotKeepBytes);
  return (
    `wal_level ${facts.walLevel}, ${facts.usedWalSenders} of ${facts.maxWalSenders} WAL senders and ` +
    `${facts.usedSlots} of ${facts.maxSlots} slots in use, a slot may keep ${keep}`
  );
}
