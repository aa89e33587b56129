// Alerts about captured log: from how each capture stands, as facts, so that they open and close with their reasons.

import { formatBytes } from '@varve/base';
import type { App, WalCapture } from '@varve/contract';
import type { WantedAlert } from './wanted-alert.ts';

const minuteMs = 60_000;
/** The repository may be so far behind its databases. */
const lagLimitMinutes = 15;
/** Restarts of servers and of Varve take their time. */
const stoppedGraceMs: Readonly<Record<WalCapture['state'], number>> = {
  starting: 10 * minuteMs,
  streaming: Number.POSITIVE_INFINITY,
  reconnecting: 5 * minuteMs,
  blocked: minuteMs,
  stopped: minuteMs,
  off: 10 * minuteMs,
};
/** A slot may keep so much WAL on its server, or come so close to its limit. */
const retainedLimitBytes = 5 * 1024 ** 3;
const leastSafeShare = 0.1;
/** So much of its file system has to be free where an archive folder is, and not more than this. */
const leastFreeShare = 0.05;
const leastFreeBytes = 2 * 1024 ** 3;

/** All alerts about the captures of an app that should be open. */
export function walAlerts(app: App, captures: readonly WalCapture[], now: Date): WantedAlert[] {
  return captures.flatMap((capture) => {
    const subject = capture.component;
    const base = { appId: app.id, subject, facts: { appName: app.name, component: subject } };
    return [stopped, behind, gap, slot, folder].flatMap((rule) => {
      const wanted = rule(capture, now);
      return wanted ? [{ ...base, ...wanted, facts: { ...base.facts, ...wanted.facts } }] : [];
    });
  });
}

type Rule = (capture: WalCapture, now: Date) => Pick<WantedAlert, 'code' | 'facts'> | undefined;

const stopped: Rule = ({ state, since, problem }, now) => {
  if (now.getTime() - Date.parse(since) < stoppedGraceMs[state]) return undefined;
  return { code: 'wal-stopped', facts: { since, errorMessage: problem?.message, hint: problem?.hint ?? undefined } };
};

/** While nothing is captured at all, that is what is told. */
const behind: Rule = (capture, now) => {
  const { completeAt, since } = capture;
  const why = capture.commitProblem ?? capture.problem;
  const at = completeAt ?? since;
  // What archive_timeout allows is no news.
  const timeoutSeconds = capture.archive?.server?.timeoutSeconds ?? 0;
  const limitMinutes = lagLimitMinutes + Math.ceil(timeoutSeconds / 60);
  if (stopped(capture, now) || now.getTime() - Date.parse(at) < limitMinutes * minuteMs) return undefined;
  const reason = { errorMessage: why?.message, hint: why?.hint ?? undefined };
  return { code: 'wal-lag', facts: { ...reason, since: at, limitMinutes } };
};

/** Until a base backup behind it makes it a thing of the past. */
const gap: Rule = ({ gap: found, hasBaseBackup }) => {
  if (!found || hasBaseBackup !== false) return undefined;
  return { code: 'wal-gap', facts: { since: found.detectedAt, errorMessage: found.message } };
};

/** A full folder makes archive_command fail, and the server keep its log. */
const folder: Rule = ({ archive }) => {
  if (!archive || archive.freeBytes === null || archive.totalBytes === null) return undefined;
  const { directory, freeBytes, totalBytes } = archive;
  if (freeBytes >= Math.min(totalBytes * leastFreeShare, leastFreeBytes)) return undefined;
  const errorMessage = `Only ${formatBytes(freeBytes)} are free in the archive folder ${directory}.`;
  return { code: 'wal-slot', facts: { errorMessage } };
};

const slot: Rule = ({ slotFacts }) => {
  if (!slotFacts) return undefined;
  const { status, safeBytes, keepLimitBytes, retainedBytes } = slotFacts;
  const isLost = status === 'unreserved' || status === 'lost';
  const isClose = safeBytes !== null && keepLimitBytes !== null && safeBytes < keepLimitBytes * leastSafeShare;
  const isLarge = retainedBytes !== null && retainedBytes > retainedLimitBytes;
  return isLost || isClose || isLarge ? { code: 'wal-slot', facts: {} } : undefined;
};
