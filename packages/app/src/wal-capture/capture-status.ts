// What a capture knows of itself, kept up to date from the receiver's events and the committer's turns, in the contract's words.

import type { Clock } from '@varve/base';
import type { WalBlock, WalCapture } from '@varve/contract';
import { formatLsn, type SlotFacts, type WalCaptureEvent, type WalProgress } from '@varve/postgres';
import type { WalOwner } from '../wal-archive/wal-block-files.ts';
import { describeError } from '../jobs/job-run.ts';
import type { WalPlace } from './archived-wal.ts';
import type { GapNote } from './gap-notes.ts';

type Facts = Omit<WalCapture, 'updatedAt'>;

export interface CaptureStatusOptions extends WalOwner {
  /** Of log that is streamed. */
  readonly slot: string | null;
  /** For log that comes through a folder. */
  readonly archive?: { readonly directory: string } | undefined;
  readonly clock: Clock;
  /** Called when something changed that people want to know at once. */
  readonly onChange: () => void;
}

const emptyFolder = {
  readFrom: null,
  waitingFiles: 0,
  waitingBytes: 0,
  freeBytes: null,
  totalBytes: null,
  server: null,
};

export class CaptureStatus {
  readonly #clock: Clock;
  readonly #onChange: () => void;
  #facts: Facts;
  #serverVersion: string | undefined;
  /** An end of the server's log, and when it was heard: the repository is complete up to then when it has that. */
  #heard: (WalPlace & { readonly at: string }) | undefined;
  #waitsFor: (WalPlace & { readonly at: string }) | undefined;
  #serverProblem: (Pick<Facts, 'problem'> & Partial<Pick<Facts, 'state' | 'since'>>) | undefined;

  constructor({ appId, component, slot, archive, clock, onChange }: CaptureStatusOptions) {
    this.#clock = clock;
    this.#onChange = onChange;
    this.#facts = {
      appId,
      component,
      way: archive === undefined ? 'stream' : 'archive',
      slot,
      state: 'starting',
      since: clock.now().toISOString(),
      problem: null,
      commitProblem: null,
      systemId: null,
      timeline: null,
      serverLsn: null,
      capturedLsn: null,
      committedLsn: null,
      completeAt: null,
      lastCommitAt: null,
      spoolBytes: 0,
      spoolLimitBytes: 0,
      slotFacts: null,
      archive: archive === undefined ? null : { ...emptyFolder, directory: archive.directory },
      gap: null,
      hasBaseBackup: null,
    };
  }

  /** What is wrong with the server is told while the log itself seems to come. */
  describe(): WalCapture {
    const { state } = this.#facts;
    const told = state === 'streaming' || state === 'starting' ? this.#serverProblem : undefined;
    return { ...this.#facts, ...told, updatedAt: this.#now() };
  }

  /** As PostgreSQL writes it (`17.2`), once a connection was made. */
  get serverVersion(): string | undefined {
    return this.#serverVersion;
  }

  /** Takes over what an earlier process knew, as far as it is history. */
  inherit({ completeAt, lastCommitAt, gap, hasBaseBackup }: WalCapture): void {
    this.#facts = { ...this.#facts, completeAt, lastCommitAt, gap, hasBaseBackup };
  }

  note(event: WalCaptureEvent): void {
    switch (event.kind) {
      case 'slot':
        this.noteSlot(event.slot);
        return;
      case 'streaming':
        if (event.source.versionNum > 0) this.#serverVersion ??= versionOf(event.source.versionNum);
        this.#facts = { ...this.#facts, systemId: event.source.systemId, timeline: event.start.timeline };
        this.#become('streaming', null);
        return;
      case 'progress':
        this.#hear(event);
        this.#facts = {
          ...this.#facts,
          timeline: event.timeline,
          serverLsn: formatLsn(event.serverEnd),
          capturedLsn: formatLsn(event.durable),
        };
        return;
      case 'timeline':
        this.#facts = { ...this.#facts, timeline: event.to };
        this.#onChange();
        return;
      case 'reconnecting':
        this.#become('reconnecting', event.error);
        return;
      case 'blocked':
        this.#become('blocked', event.block.reason === 'disk-full' ? event.block.error : null);
        return;
      case 'unblocked':
        this.#become('streaming', null);
        return;
      default:
    }
  }

  stopped(error: unknown): void {
    this.#become('stopped', error);
  }

  noteSlot(slot: SlotFacts): void {
    const slotFacts = {
      checkedAt: this.#now(),
      retainedBytes: slot.retainedBytes ?? null,
      status: slot.walStatus ?? null,
      safeBytes: slot.safeWalBytes ?? null,
      keepLimitBytes: slot.keepLimitBytes ?? null,
    };
    const isNews = this.#facts.slotFacts?.status !== slotFacts.status;
    this.#facts = { ...this.#facts, slotFacts };
    if (isNews) this.#onChange();
  }

  noteServerVersion(version: string): void {
    this.#serverVersion = version;
  }

  /** What became known of the folder that log comes through. */
  noteArchive(facts: Partial<NonNullable<WalCapture['archive']>>): void {
    const { archive } = this.#facts;
    if (archive) this.#facts = { ...this.#facts, archive: { ...archive, ...facts } };
  }

  /**
   * What the server, asked apart from the log itself, says or why it does not answer; null when all is well. With `isStopped` no log
   * comes because of it.
   */
  serverProblem(found: { readonly isStopped: boolean; readonly error: unknown } | null): void {
    const before = this.#serverProblem;
    const problem = found && describeError(found.error);
    const since = before?.since ?? this.#now();
    const isNews =
      before?.problem?.code !== problem?.code || (before?.state !== undefined) !== (found?.isStopped ?? false);
    if (!found) this.#serverProblem = undefined;
    else this.#serverProblem = found.isStopped ? { state: 'stopped', since, problem } : { problem };
    if (isNews) this.#onChange();
  }

  noteServerEnd({ timeline, lsn }: WalPlace): void {
    this.#facts = { ...this.#facts, timeline, serverLsn: formatLsn(lsn) };
  }

  /** With everything before the place the repository is complete up to a time. */
  hear(heard: WalPlace & { readonly at: string }): void {
    this.#heard = heard;
    this.#waitsFor ??= heard;
  }

  noteGap({ reason, detectedAt, message }: GapNote): void {
    this.#facts = { ...this.#facts, gap: { reason, detectedAt, message } };
    this.#onChange();
  }

  noteRun(runStart: WalBlock | undefined): void {
    const gap = runStart?.gap;
    if (gap && gap.detectedAt !== this.#facts.gap?.detectedAt) this.noteGap(gap);
  }

  noteBaseBackup(hasBaseBackup: boolean | null): void {
    if (this.#facts.hasBaseBackup === hasBaseBackup) return;
    this.#facts = { ...this.#facts, hasBaseBackup };
    this.#onChange();
  }

  noteSpool(spoolBytes: number, spoolLimitBytes: number): void {
    this.#facts = { ...this.#facts, spoolBytes, spoolLimitBytes };
  }

  /** Everything before `place` is in the repository, and nothing is known of that could not be stored. */
  committed(place: WalPlace | undefined): void {
    const committedLsn = place ? formatLsn(place.lsn) : null;
    const isNew = committedLsn !== this.#facts.committedLsn;
    const wasBroken = this.#facts.commitProblem !== null;
    const lastCommitAt = isNew && committedLsn !== null ? this.#now() : this.#facts.lastCommitAt;
    this.#facts = { ...this.#facts, committedLsn, commitProblem: null, lastCommitAt };
    for (const heard of [this.#waitsFor, this.#heard]) {
      if (!place || !heard || place.timeline < heard.timeline || place.lsn < heard.lsn) continue;
      // It is known less exactly for log that comes through a folder, and was complete all the same.
      if (heard.at > (this.#facts.completeAt ?? '')) this.#facts = { ...this.#facts, completeAt: heard.at };
      this.#waitsFor = this.#heard;
    }
    if (wasBroken) this.#onChange();
  }

  commitFailed(error: unknown): void {
    const commitProblem = describeError(error);
    const isNews = this.#facts.commitProblem?.message !== commitProblem.message;
    this.#facts = { ...this.#facts, commitProblem };
    if (isNews) this.#onChange();
  }

  #hear({ serverEnd, timeline, isConnected }: WalProgress): void {
    if (!isConnected) return;
    this.hear({ timeline, lsn: serverEnd, at: this.#now() });
  }

  #become(state: WalCapture['state'], error: unknown): void {
    const problem = error === null ? null : describeError(error);
    const isNews = this.#facts.state !== state || this.#facts.problem?.code !== problem?.code;
    const since = this.#facts.state === state ? this.#facts.since : this.#now();
    this.#facts = { ...this.#facts, state, since, problem };
    if (isNews) this.#onChange();
  }

  #now(): string {
    return this.#clock.now().toISOString();
  }
}

/** `170002` is 17.2. */
function versionOf(versionNum: number): string {
  return `${Math.floor(versionNum / 10_000)}.${versionNum % 10_000}`;
}
