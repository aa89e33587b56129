// Log sequence numbers: byte positions in the write-ahead log. A branded bigint, made only by the functions here, so
// that an LSN is never compared as text. Manual: "pg_lsn Type" (datatype-pg-lsn).

import { AppError } from '@varve/base';

declare const lsnBrand: unique symbol;

/** A byte position in the write-ahead log, 0 to 2^64-1. Compare with `<`, `===`. */
export type Lsn = bigint & { readonly [lsnBrand]: 'Lsn' };

const lsnText = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/;
const greatestLsn = 0xffff_ffff_ffff_ffffn;

/** Reads `16/B374D848`, with or without leading zeros. Throws DATABASE_PROTOCOL for anything else. */
export function parseLsn(text: string): Lsn {
  const match = lsnText.exec(text);
  if (!match) {
    throw new AppError('DATABASE_PROTOCOL', `“${text.slice(0, 40)}” is not a WAL position (LSN) such as 16/B374D848.`);
  }
  return ((BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`)) as Lsn;
}

/** `16/B374D848`: upper case, without leading zeros, as `pg_lsn` prints it up to PostgreSQL 18. */
export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffff_ffffn).toString(16).toUpperCase()}`;
}

/** An LSN from its number, as it stands in binary messages. Throws DATABASE_PROTOCOL outside 0..2^64-1. */
export function lsnFromBigInt(value: bigint): Lsn {
  if (value < 0n || value > greatestLsn) {
    throw new AppError('DATABASE_PROTOCOL', `${value} is not a WAL position (LSN): it does not fit 64 bits.`);
  }
  return value as Lsn;
}
