// Progress of work on a repository: a bar or lines for people, restic's status messages in JSON.

import type { OnProgress } from '@varve/base';
import type { Session } from '../session.ts';
import { RateMeter } from './rate-meter.ts';

/** Between two status messages in JSON. */
const statusMs = 1000;

export interface RepositoryProgress extends Disposable {
  readonly onProgress: OnProgress;
}

/** Shows progress under a label until disposed. */
export function repositoryProgress(session: Session, label: string): RepositoryProgress {
  const display = session.progress();
  const meter = new RateMeter();
  const startedAtMs = performance.now();
  let statusAtMs = startedAtMs;
  return {
    onProgress: (progress) => {
      const nowMs = performance.now();
      const rate = meter.add(progress, nowMs);
      const { filesDone, bytesDone, current } = progress;
      const filesTotal = progress.filesTotal ?? null;
      const bytesTotal = progress.bytesTotal ?? null;
      display.update({ label, filesDone, filesTotal, bytesDone, bytesTotal, current: current ?? null, ...rate });
      if (!session.json || session.quiet || nowMs - statusAtMs < statusMs) return;
      statusAtMs = nowMs;
      session.printJson({
        message_type: 'status',
        seconds_elapsed: Math.round((nowMs - startedAtMs) / 1000),
        seconds_remaining: rate.secondsLeft === null ? undefined : Math.round(rate.secondsLeft),
        percent_done: bytesTotal ? Math.min(1, bytesDone / bytesTotal) : 0,
        total_files: filesTotal ?? undefined,
        files_done: filesDone,
        total_bytes: bytesTotal ?? undefined,
        bytes_done: bytesDone,
        current_files: current === undefined ? undefined : [current],
      });
    },
    [Symbol.dispose]: () => display[Symbol.dispose](),
  };
}
