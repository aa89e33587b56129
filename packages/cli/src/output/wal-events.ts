// What a WAL receiver tells, as lines for people (the lag live on a terminal) or one JSON document an event.

import { formatBytes, formatDuration, type AppError } from '@varve/base';
import { formatLsn, type Lsn, type SlotFacts, type WalCaptureEvent, type WalPosition } from '@varve/postgres';
import type { Session } from '../session.ts';

export interface WalReport extends Disposable {
  readonly onEvent: (event: WalCaptureEvent) => void;
}

/** Shows events until disposed. */
export function walReport(session: Session): WalReport {
  const display = session.progress();
  // Where nobody watches, a line for every few seconds of silence would only fill a log.
  const isLive = session.io.err.isTerminal || session.verbose;
  return {
    onEvent: (event) => {
      if (session.json) {
        session.printJson(eventJson(event));
      } else if (event.kind === 'progress') {
        if (isLive) display.show(`timeline ${event.timeline}`, lagText(event));
      } else {
        for (const line of eventLines(event)) display.note(line);
      }
    },
    [Symbol.dispose]: () => display[Symbol.dispose](),
  };
}

function lagText(event: Extract<WalCaptureEvent, { kind: 'progress' }>): string {
  const lag = event.lagBytes === 0 ? 'no lag' : `${formatBytes(event.lagBytes)} behind`;
  const since = event.lagMs === 0 ? '' : ` for ${formatDuration(event.lagMs)}`;
  const state = event.isConnected ? '' : ', not connected';
  return `durable up to ${formatLsn(event.durable)}, server at ${formatLsn(event.serverEnd)}, ${lag}${since}${state}`;
}

function eventLines(event: Exclude<WalCaptureEvent, { kind: 'progress' }>): string[] {
  switch (event.kind) {
    case 'slot':
      return [
        event.isNew ? `made the replication slot ${event.slot.name}` : `the replication slot is ${event.slot.name}`,
        ...slotWarning(event.slot),
      ];
    case 'streaming':
      return [`receiving from ${place(event.start)}, cluster ${event.source.systemId}`];
    case 'segment-complete':
      return [`${event.segment.name} is complete`];
    case 'timeline':
      return [
        `the server went from timeline ${event.from} to ${event.to} at ${formatLsn(event.lsn)}`,
        ...(event.oldEnd > event.lsn
          ? [
              `warning: timeline ${event.from} has WAL up to ${formatLsn(event.oldEnd)} that the new one left out; it is kept`,
            ]
          : []),
      ];
    case 'gap':
      return [
        `warning: gap after ${place(event.from)}${event.to ? `, going on at ${place(event.to)}` : ''}: ${event.error.message}`,
      ];
    case 'reconnecting':
      return [`warning: ${event.error.message} Next try in ${formatDuration(event.delayMs)}.`];
    case 'blocked':
      return [
        event.block.reason === 'disk-full'
          ? `warning: ${event.block.error.message} ${event.block.error.hint ?? ''}`
          : 'warning: the spool is full; waiting until segments are taken away',
      ];
    case 'unblocked':
      return ['there is room again'];
  }
}

/** A slot without a limit fills the server's disk when its receiver is away for long. */
function slotWarning(slot: SlotFacts): string[] {
  if (slot.keepLimitBytes !== undefined) return [];
  return [
    'warning: max_slot_wal_keep_size is unlimited on the server: when nobody receives, this slot fills its disk. Set a limit, such as half of its free space.',
  ];
}

function place({ timeline, lsn }: WalPosition): string {
  return `${formatLsn(lsn)} on timeline ${timeline}`;
}

function eventJson(event: WalCaptureEvent): unknown {
  const { kind: message_type } = event;
  switch (event.kind) {
    case 'slot':
      return { message_type, is_new: event.isNew, ...slotJson(event.slot) };
    case 'streaming':
      return { message_type, ...positionJson(event.start), system_id: event.source.systemId };
    case 'progress':
      return {
        message_type,
        timeline: event.timeline,
        received: formatLsn(event.received),
        durable: formatLsn(event.durable),
        server_end: formatLsn(event.serverEnd),
        lag_bytes: event.lagBytes,
        lag_ms: event.lagMs,
        is_connected: event.isConnected,
      };
    case 'segment-complete':
      return { message_type, name: event.segment.name, path: event.segment.path, size: event.segment.sizeBytes };
    case 'timeline':
      return {
        message_type,
        from: event.from,
        to: event.to,
        lsn: formatLsn(event.lsn),
        old_end: formatLsn(event.oldEnd),
        history: event.historyPath,
      };
    case 'gap':
      return {
        message_type,
        reason: event.reason,
        from: positionJson(event.from),
        to: event.to ? positionJson(event.to) : null,
        error: errorJson(event.error),
      };
    case 'reconnecting':
      return { message_type, error: errorJson(event.error), attempt: event.attempt, delay_ms: event.delayMs };
    case 'blocked':
      return {
        message_type,
        reason: event.block.reason,
        ...(event.block.reason === 'disk-full' ? { error: errorJson(event.block.error) } : {}),
      };
    case 'unblocked':
      return { message_type };
  }
}

/** The first digits of the id of the installation whose server made a slot; undefined for slots of others. */
export function installationOfSlot(name: string): string | undefined {
  return /^varve_([0-9a-f]{8})_/.exec(name)?.[1];
}

/** A slot as JSON shows it. */
export function slotJson(slot: SlotFacts): Record<string, unknown> {
  return {
    slot: slot.name,
    installation: installationOfSlot(slot.name) ?? null,
    type: slot.isPhysical ? 'physical' : 'logical',
    is_active: slot.isActive,
    active_pid: slot.activePid ?? null,
    restart_lsn: lsnJson(slot.restartLsn),
    wal_status: slot.walStatus ?? null,
    retained_bytes: slot.retainedBytes ?? null,
    safe_wal_bytes: slot.safeWalBytes ?? null,
    keep_limit_bytes: slot.keepLimitBytes ?? null,
  };
}

function positionJson({ timeline, lsn }: WalPosition): { timeline: number; lsn: string } {
  return { timeline, lsn: formatLsn(lsn) };
}

function lsnJson(lsn: Lsn | undefined): string | null {
  return lsn === undefined ? null : formatLsn(lsn);
}

function errorJson({ code, message, hint }: AppError): { code: string; message: string; hint: string | null } {
  return { code, message, hint: hint ?? null };
}
