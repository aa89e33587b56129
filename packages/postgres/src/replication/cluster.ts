// Whose WAL a server has and how far it goes, over a session with replication: 'database'.
// Manual: protocol-replication, IDENTIFY_SYSTEM and TIMELINE_HISTORY.

import { AppError } from '@varve/base';
import type { PgConnection, RequestOptions } from '../connection/connection.ts';
import { parseLsn, type Lsn } from '../lsn.ts';
import { checkSegmentBytes, checkTimeline } from '../wal/segments.ts';

/** A cluster as its WAL knows it. */
export interface WalSource {
  /** Identifier from initdb, decimal; stays the same on standbys and after a promotion. */
  readonly systemId: string;
  readonly timeline: number;
  /** End of the WAL that is durable on the server. */
  readonly flushLsn: Lsn;
  readonly segmentBytes: number;
  readonly pageBytes: number;
  readonly isInRecovery: boolean;
  readonly versionNum: number;
}

/** Asks a server whose WAL it has. Throws as {@link PgConnection.query}, DATABASE_PROTOCOL for answers that make no sense. */
export async function identifyWalSource(connection: PgConnection, options: RequestOptions = {}): Promise<WalSource> {
  const [identity] = await connection.query('IDENTIFY_SYSTEM', options);
  const [systemId, timeline, flushLsn] = identity?.rows[0] ?? [];
  const [settings] = await connection.query(
    `select (select setting from pg_settings where name = 'wal_segment_size'),
       (select setting from pg_settings where name = 'wal_block_size'), pg_is_in_recovery(), current_setting('wal_level')`,
    options,
  );
  const [segmentBytes, pageBytes, isInRecovery, walLevel] = settings?.rows[0] ?? [];
  if (!/^\d{1,20}$/.test(systemId ?? '') || flushLsn === null || flushLsn === undefined) {
    throw new AppError('DATABASE_PROTOCOL', 'The answer to IDENTIFY_SYSTEM is not understood.');
  }
  if (walLevel === 'minimal') {
    throw new AppError('DATABASE_QUERY_FAILED', `PostgreSQL at ${connection.server.address} has wal_level = minimal.`, {
      hint: 'WAL of that level restores nothing: set wal_level = replica and restart the server.',
    });
  }
  return {
    systemId: systemId ?? '',
    timeline: checkTimeline(Number(timeline)),
    flushLsn: parseLsn(flushLsn),
    segmentBytes: checkSegmentBytes(Number(segmentBytes)),
    pageBytes: Number(pageBytes),
    isInRecovery: isInRecovery === 't',
    versionNum: connection.versionNum,
  };
}

/** The history file of a timeline from 2 on, byte for byte as the server has it. */
export async function readTimelineHistory(
  connection: PgConnection,
  timeline: number,
  options: RequestOptions = {},
): Promise<Uint8Array> {
  // Not by `query`: the content is raw bytes in no particular encoding, whatever type the server declares.
  const exchange = connection.exchange(`TIMELINE_HISTORY ${checkTimeline(timeline)}`, options);
  let content: Uint8Array | undefined;
  try {
    for (let message = await exchange.next(); message; message = await exchange.next()) {
      if (message.type === 'data-row') content = message.values[1]?.slice();
    }
  } finally {
    await exchange.abandon();
  }
  if (content) return content;
  throw new AppError('DATABASE_PROTOCOL', `The server sent no history of timeline ${timeline}.`);
}
