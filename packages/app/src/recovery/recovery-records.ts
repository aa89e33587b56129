// What recoveries have made and not removed yet: sandboxes that stay, and folders of recoveries that are at work. A record is
// on disk before the thing is made, so that whatever a killed process left is found and removed by the next one.

import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, systemErrorCode } from '@varve/base';
import type { Sandbox } from '@varve/contract';
import type { FileOwner } from '@varve/postgres';
import { writeDurableFile } from '../catalogue/durable-file.ts';

export interface RecoveryRecord {
  readonly id: string;
  /** The job that makes it. */
  readonly runId: string;
  readonly appId: string;
  readonly component: string;
  readonly createdAt: string;
  /** work: goes away with its job. sandbox: stays, once it is made. */
  readonly purpose: 'work' | 'sandbox';
  readonly isMade: boolean;
  readonly isPaused: boolean;
  readonly serverVersion: string;
  readonly stoppedAt: Sandbox['stoppedAt'];
  readonly connection: Sandbox['connection'];
  /** Who may log in through the socket. */
  readonly users: readonly string[];
  readonly owner: FileOwner | null;
  readonly place:
    | { readonly type: 'host'; readonly folder: string; readonly binDirectory: string; readonly port: number | null }
    | {
        readonly type: 'docker';
        /** A volume of its own that goes with it; null: a folder in a volume of the app. */
        readonly volume: string | null;
        /** In the volume, as seen from here; null while it is not known. */
        readonly folder: string | null;
        readonly container: string;
        readonly port: number | null;
      };
}

const fileName = /^([0-9a-f]{8})\.json$/;

export class RecoveryRecords {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async put(record: RecoveryRecord): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await writeDurableFile(join(this.#folder, `${record.id}.json`), Buffer.from(`${JSON.stringify(record)}\n`), {
      exclusive: false,
    });
  }

  async remove(id: string): Promise<void> {
    await rm(join(this.#folder, `${id}.json`), { force: true });
  }

  /** The newest first. */
  async list(): Promise<RecoveryRecord[]> {
    const names = await readdir(this.#folder).catch((error: unknown) => {
      if (systemErrorCode(error) === 'ENOENT') return [];
      throw error;
    });
    const records: RecoveryRecord[] = [];
    for (const name of names) {
      if (!fileName.test(name)) continue;
      const text = await readFile(join(this.#folder, name), 'utf8').catch((error: unknown) => {
        if (systemErrorCode(error) === 'ENOENT') return undefined;
        throw error;
      });
      // Only this room writes them, whole or not at all.
      if (text !== undefined) records.push(JSON.parse(text) as RecoveryRecord);
    }
    return records.sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
  }

  /** SANDBOX_NOT_FOUND. */
  async sandbox(id: string): Promise<RecoveryRecord> {
    const found = (await this.list()).find((record) => record.id === id && record.purpose === 'sandbox');
    if (found !== undefined) return found;
    throw new AppError('SANDBOX_NOT_FOUND', `There is no sandbox ${id}.`, {
      hint: '`varve sandbox list` shows the sandboxes.',
    });
  }
}
