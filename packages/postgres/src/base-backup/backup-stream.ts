// Turns the answers to BASE_BACKUP into one sequence of events, the same for both framings: 13 and 14 send one COPY per
// archive, without the zero blocks that end a tar; 15 and later one COPY for all, whose CopyData start with a letter.
// Pure: backend messages in, events out. Manual: protocol-replication, BASE_BACKUP, of 14 and of 15.

import { AppError } from '@varve/base';
import { BodyReader, type BackendMessage } from '../wire/backend-messages.ts';
import { parseLsn, type Lsn } from '../lsn.ts';

/** A tablespace as the server announces it. */
export interface BackupTablespace {
  /** Null: the data directory itself. */
  readonly oid: number | null;
  readonly path: string | null;
  /** The server's estimate. */
  readonly sizeBytes: number | undefined;
}

export interface BackupPosition {
  readonly lsn: Lsn;
  readonly timeline: number;
}

export type BackupEvent =
  | { readonly kind: 'start'; readonly start: BackupPosition; readonly tablespaces: readonly BackupTablespace[] }
  | { readonly kind: 'archive'; readonly oid: number | null; readonly path: string | null }
  | { readonly kind: 'manifest' }
  | { readonly kind: 'data'; readonly data: Uint8Array }
  | { readonly kind: 'part-end' }
  | { readonly kind: 'progress'; readonly bytesDone: number }
  | { readonly kind: 'end'; readonly end: BackupPosition };

/** A tar ends with two blocks of zeros (POSIX.1-2017, pax, "ustar Interchange Format"). */
const tarEndBytes = 1024;

/** Feed it every message of the exchange, in order; each yields the events that it stands for. */
export class BackupStreamDecoder {
  readonly #hasNewFraming: boolean;
  #row: readonly (Uint8Array | null)[] | undefined;
  #start: BackupPosition | undefined;
  #tablespaces: BackupTablespace[] | undefined;
  #copyCount = 0;
  #openPart: 'archive' | 'manifest' | undefined;
  #inCopy = false;
  #phase: 'start' | 'tablespaces' | 'archives' | 'end' = 'start';

  constructor(options: { readonly hasNewFraming: boolean }) {
    this.#hasNewFraming = options.hasNewFraming;
  }

  push(message: BackendMessage): BackupEvent[] {
    switch (message.type) {
      case 'row-description':
        return this.#onResultSet();
      case 'data-row':
        this.#row = message.values;
        if (this.#phase === 'tablespaces') this.#tablespaces?.push(tablespaceOf(message.values));
        return [];
      case 'command-complete':
        return this.#onResultEnd();
      case 'copy-out':
        return this.#onCopyStart();
      case 'copy-data':
        return this.#onCopyData(message.data);
      case 'copy-done':
        this.#inCopy = false;
        return this.#closePart();
      default:
        throw unexpected(`“${message.type}”`);
    }
  }

  #onResultSet(): BackupEvent[] {
    if (this.#inCopy) throw unexpected('a result set inside a data stream');
    this.#row = undefined;
    if (this.#start && !this.#tablespaces) {
      this.#phase = 'tablespaces';
      this.#tablespaces = [];
    } else if (this.#copyCount > 0) {
      this.#phase = 'end';
    }
    return [];
  }

  #onResultEnd(): BackupEvent[] {
    const row = this.#row;
    this.#row = undefined;
    if (this.#phase === 'start' && row) {
      this.#start = positionOf(row);
      return [];
    }
    if (this.#phase === 'tablespaces' && this.#start && this.#tablespaces) {
      this.#phase = 'archives';
      return [{ kind: 'start', start: this.#start, tablespaces: this.#tablespaces }];
    }
    // The last set is followed by the completion of BASE_BACKUP itself, which has no row.
    return this.#phase === 'end' && row ? [{ kind: 'end', end: positionOf(row) }] : [];
  }

  #onCopyStart(): BackupEvent[] {
    if (!this.#tablespaces) throw unexpected('data before the list of tablespaces');
    this.#inCopy = true;
    const index = this.#copyCount++;
    if (this.#hasNewFraming) return [];
    const tablespace = this.#tablespaces[index];
    if (tablespace) return [this.#openArchive(tablespace.oid, tablespace.path)];
    this.#openPart = 'manifest';
    return [{ kind: 'manifest' }];
  }

  #onCopyData(data: Uint8Array): BackupEvent[] {
    if (!this.#hasNewFraming) return [{ kind: 'data', data }];
    const reader = new BodyReader(data);
    const letter = String.fromCharCode(reader.uint8());
    switch (letter) {
      case 'd':
        if (!this.#openPart) throw unexpected('data outside an archive');
        return [{ kind: 'data', data: reader.rest() }];
      case 'p':
        return [{ kind: 'progress', bytesDone: Number(reader.int64()) }];
      case 'n': {
        const name = reader.text();
        const path = reader.text();
        const oid = /^(\d+)\.tar$/.exec(name)?.[1];
        if (oid === undefined && name !== 'base.tar') throw unexpected(`an archive with the name “${name}”`);
        const closed = this.#closePart();
        return [...closed, this.#openArchive(oid === undefined ? null : Number(oid), path === '' ? null : path)];
      }
      case 'm': {
        const closed = this.#closePart();
        this.#openPart = 'manifest';
        return [...closed, { kind: 'manifest' }];
      }
      default:
        throw unexpected(`data of the unknown kind “${letter}”`);
    }
  }

  #openArchive(oid: number | null, path: string | null): BackupEvent {
    this.#openPart = 'archive';
    return { kind: 'archive', oid, path };
  }

  #closePart(): BackupEvent[] {
    const part = this.#openPart;
    if (!part) return [];
    this.#openPart = undefined;
    const needsEnd = part === 'archive' && !this.#hasNewFraming;
    const tarEnd: BackupEvent[] = needsEnd ? [{ kind: 'data', data: new Uint8Array(tarEndBytes) }] : [];
    return [...tarEnd, { kind: 'part-end' }];
  }
}

function textOf(value: Uint8Array | null | undefined): string | null {
  return value ? Buffer.from(value).toString('utf8') : null;
}

function positionOf(row: readonly (Uint8Array | null)[]): BackupPosition {
  const timeline = Number(textOf(row[1]));
  if (!Number.isInteger(timeline) || timeline < 1) throw unexpected('a position without its timeline');
  return { lsn: parseLsn(textOf(row[0]) ?? ''), timeline };
}

function tablespaceOf(row: readonly (Uint8Array | null)[]): BackupTablespace {
  const [oid, path, sizeKB] = row.map((value) => textOf(value));
  return {
    oid: oid === null || oid === undefined ? null : Number(oid),
    path: path ?? null,
    sizeBytes: sizeKB === null || sizeKB === undefined ? undefined : Number(sizeKB) * 1024,
  };
}

function unexpected(what: string): AppError {
  return new AppError('DATABASE_PROTOCOL', `The server's base backup holds ${what} where it may not stand.`, {
    hint: 'Please report this with the version of the server.',
  });
}
