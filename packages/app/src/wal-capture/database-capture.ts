// The capture of one database: a receiver that fills the spool, and a loop that commits it. Both go on for ever: a receiver that
// ended is started again by rule, a commit that failed is repeated, and neither takes the other down.

import { statfs } from 'node:fs/promises';
import { isAppError, sleep, type Clock, type Logger } from '@varve/base';
import { formatLsn, listSegments, WalSpool, type WalCaptureEvent } from '@varve/postgres';
import type { LockOwnerOptions, Repository } from '@varve/repository';
import type { WalOwner } from '../wal-archive/wal-block-files.ts';
import type { CaptureStatus } from './capture-status.ts';
import type { CaptureWay } from './capture-way.ts';
import { noteGap, type GapNote } from './gap-notes.ts';
import { emptySpool } from './spool-files.ts';
import { WalCommitter } from './wal-committer.ts';

export interface DatabaseCaptureOptions {
  readonly owner: WalOwner;
  readonly way: CaptureWay;
  readonly folder: string;
  readonly status: CaptureStatus;
  /** When Varve itself last brought the database back, after `since`; undefined when it did not. */
  readonly broughtBackAt: (since: string) => Promise<string | undefined>;
  readonly repository: () => Promise<Repository>;
  /** Longest time between two commits while there is something new; asked for before each. */
  readonly commitMs: () => number;
  /** A spool takes so much, and less where the disk is small. */
  readonly spoolLimitBytes?: number | undefined;
  readonly hostName: string;
  readonly version: string;
  readonly lockOwner: LockOwnerOptions;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Pauses after a receiver ended, one after the other, the last one again and again. */
  readonly retryDelaysMs?: readonly number[] | undefined;
  /** The same for commits that failed. */
  readonly commitRetryDelaysMs?: readonly number[] | undefined;
}

const second = 1000;
const defaultRetryDelaysMs = [5 * second, 15 * second, 30 * second, 60 * second, 120 * second, 300 * second];
const defaultCommitRetryDelaysMs = [second, 5 * second, 15 * second, 30 * second];
/** A last commit when the server stops may take so long. */
const farewellMs = 10 * second;
const defaultSpoolLimitBytes = 10 * 1024 ** 3;
/** Of what is free when capturing starts. */
const largestShareOfDisk = 0.5;
const leastSpoolLimitBytes = 64 * 1024 * 1024;
/** How often a server must say that it has another history before it is believed: a URL may be wrong for a moment. */
const divergedTimes = 2;

export class DatabaseCapture implements AsyncDisposable {
  readonly #options: DatabaseCaptureOptions;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  #wakeCommits: (() => void) | undefined;
  #diverged = 0;
  #committer: WalCommitter | undefined;

  /** Starts at once; dispose it in any case. */
  constructor(options: DatabaseCaptureOptions) {
    this.#options = options;
    this.#done = Promise.all([this.#run(), options.way.watch(this.#stop.signal)]).then(() => {});
  }

  get status(): CaptureStatus {
    return this.#options.status;
  }

  /** The first block of what is stored without a gap. */
  get runStart(): WalCommitter['runStart'] {
    return this.#committer?.runStart;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#wakeCommits?.();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted;) {
      try {
        await this.#runSpool();
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        this.status.stopped(error);
        await this.#pause(failures++);
      }
    }
  }

  /** Until the spool has to be opened anew, or the end. */
  async #runSpool(): Promise<void> {
    const { folder, status } = this.#options;
    const maxBytes = await this.#spoolLimit();
    status.noteSpool(0, maxBytes);
    await using spool = await WalSpool.open({ folder, maxBytes });
    const { owner, repository, hostName, version, lockOwner, clock, logger } = this.#options;
    const shared = { owner, repository, hostName, version, lockOwner, clock, logger };
    const committer = new WalCommitter({ ...shared, spool, serverVersion: () => status.serverVersion });
    this.#committer = committer;
    const stop = new AbortController();
    const stopAll = (): void => stop.abort();
    this.#stop.signal.addEventListener('abort', stopAll, { once: true });
    const commits = this.#commitForEver({ spool, committer, maxBytes, signal: stop.signal });
    try {
      await this.#receiveForEver(spool, committer);
    } finally {
      this.#stop.signal.removeEventListener('abort', stopAll);
      stop.abort();
      this.#wakeCommits?.();
      await commits;
    }
    if (this.#stop.signal.aborted) {
      const signal = AbortSignal.timeout(farewellMs);
      await this.#options.way.finish({ spool, committer, signal }).catch(() => {});
      await committer.turn({ withPartial: true, signal }).catch(() => false);
      return;
    }
    await this.#takeOver(spool, committer);
  }

  /** Resolves when capturing is to end, or when the server surely has another history; throws when the spool failed. */
  async #receiveForEver(spool: WalSpool, committer: WalCommitter): Promise<void> {
    const { way, status } = this.#options;
    const { signal } = this.#stop;
    for (let failures = 0; ; failures++) {
      try {
        await way.receive({
          spool,
          committer,
          signal,
          onEvent: (event) => {
            if (event.kind === 'streaming') {
              failures = 0;
              this.#diverged = 0;
            }
            this.#note(event);
          },
        });
      } catch (error) {
        if (signal.aborted) return;
        if (spool.failure) throw error;
        status.stopped(error);
        const isOtherHistory = isAppError(error, 'WAL_DIVERGED');
        this.#diverged = isOtherHistory ? this.#diverged + 1 : 0;
        if (this.#diverged >= divergedTimes) return;
      }
      await this.#pause(failures);
      if (signal.aborted) return;
    }
  }

  #note(event: WalCaptureEvent): void {
    const { folder, status, clock } = this.#options;
    if (event.kind === 'gap') {
      const { reason, from, to, error } = event;
      const detectedAt = clock.now().toISOString();
      const gap = { reason, timeline: from.timeline, fromLsn: formatLsn(from.lsn), detectedAt, message: error.message };
      if (to) this.#noteGap(folder, gap);
    }
    status.note(event);
    if (event.kind === 'segment-complete' || event.kind === 'timeline') this.#wakeCommits?.();
  }

  #noteGap(folder: string, gap: GapNote): void {
    noteGap(folder, gap);
    this.status.noteGap(gap);
  }

  /** The server's log is another one from here on: what was captured is stored, then the spool begins anew. */
  async #takeOver(spool: WalSpool, committer: WalCommitter): Promise<void> {
    const { folder, clock, logger } = this.#options;
    const { signal } = this.#stop;
    while (await committer.turn({ withPartial: true, signal }));
    const end = await spool.end();
    const problem = this.status.describe().problem?.message ?? 'The server has another history.';
    if (end) {
      this.#noteGap(folder, {
        reason: 'diverged',
        timeline: end.timeline,
        fromLsn: formatLsn(committer.committed?.lsn ?? end.lsn),
        detectedAt: clock.now().toISOString(),
        message: problem,
      });
    }
    await spool.close();
    await emptySpool(folder);
    if (end) await this.#options.way.beginAnew(end.timeline, { folder, signal });
    this.#diverged = 0;
    const { owner } = this.#options;
    const since = this.status.describe().completeAt;
    // What cannot be asked for is not known to be expected.
    const broughtBackAt = since === null ? undefined : await this.#options.broughtBackAt(since).catch(() => undefined);
    if (broughtBackAt !== undefined)
      logger.info(`capture begins anew, because the database was brought back at ${broughtBackAt}`, { ...owner });
    else logger.warn('the server has another history; capture begins anew', { ...owner, reason: problem });
  }

  async #commitForEver(options: {
    readonly spool: WalSpool;
    readonly committer: WalCommitter;
    readonly maxBytes: number;
    readonly signal: AbortSignal;
  }): Promise<void> {
    const { spool, committer, maxBytes, signal } = options;
    const { status, commitMs, folder } = this.#options;
    let storedUpTo: bigint | undefined;
    let lastPartialMs = Number.NEGATIVE_INFINITY;
    for (let failures = 0; !signal.aborted;) {
      const { durable } = spool;
      try {
        if (durable === undefined || durable !== storedUpTo) {
          const withPartial = performance.now() - lastPartialMs >= commitMs();
          if (withPartial) lastPartialMs = performance.now();
          while (await committer.turn({ withPartial, signal }));
          if (withPartial && durable !== undefined) storedUpTo = durable;
          status.noteSpool(await spoolBytes(spool, folder), maxBytes);
        }
        status.committed(committer.committed);
        status.noteRun(committer.runStart);
        if (committer.fault) status.commitFailed(committer.fault);
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        status.commitFailed(error);
        this.#options.logger.warn('captured WAL could not be stored', { ...this.#options.owner, error: String(error) });
        const delays = this.#options.commitRetryDelaysMs ?? defaultCommitRetryDelaysMs;
        await sleep(delayOf(delays, failures++), { signal }).catch(() => {});
        storedUpTo = undefined;
        lastPartialMs = Number.NEGATIVE_INFINITY;
        continue;
      }
      await this.#waitForWork(Math.max(second / 4, lastPartialMs + commitMs() - performance.now()), signal);
    }
  }

  #waitForWork(waitMs: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#wakeCommits = undefined;
        resolve();
      };
      const timer = setTimeout(wake, waitMs);
      this.#wakeCommits = wake;
    });
  }

  async #pause(failures: number): Promise<void> {
    const delays = this.#options.retryDelaysMs ?? defaultRetryDelaysMs;
    await sleep(delayOf(delays, failures), { signal: this.#stop.signal }).catch(() => {});
  }

  async #spoolLimit(): Promise<number> {
    const wanted = this.#options.spoolLimitBytes ?? defaultSpoolLimitBytes;
    const disk = await statfs(this.#options.folder).catch(() => undefined);
    const room = disk ? disk.bavail * disk.bsize * largestShareOfDisk : wanted;
    return Math.max(leastSpoolLimitBytes, Math.floor(Math.min(wanted, room)));
  }
}

function delayOf(delays: readonly number[], failures: number): number {
  return delays[Math.min(failures, delays.length - 1)] ?? second;
}

async function spoolBytes(spool: WalSpool, folder: string): Promise<number> {
  if (!spool.state) return 0;
  const segments = await listSegments(folder, spool.state.segmentBytes);
  return segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
