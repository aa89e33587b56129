// What runs by itself while the server is up: schedules, alerts, repair of what dead processes left, and clean-up.

import { messageOf } from '@varve/base';
import { BackgroundLoop } from './background-loop.ts';
import type { Installation } from './installation.ts';
import { syncSnapshots } from './repositories/sync-snapshots.ts';
import type { MaintenanceScheduler } from './schedule/maintenance.ts';
import type { Scheduler } from './schedule/scheduler.ts';
import { CaptureSupervisor } from './wal-capture/capture-supervisor.ts';

const secondMs = 1000;
const hourMs = 3_600_000;
const scheduleIntervalMs = 5 * secondMs;
const alertIntervalMs = 30 * secondMs;
const captureIntervalMs = 2 * secondMs;
const repairIntervalMs = 15 * secondMs;
/** Things that could not be started (an Engine that is down) are tried again this often. */
const repairAgainIntervalMs = 5 * 60 * secondMs;
const keptJobsMs = 180 * 24 * hourMs;

/** Starts the loops; disposing stops them and waits for the turns under way. */
export function startBackground(options: {
  readonly parts: Installation;
  readonly scheduler: Scheduler;
  readonly maintenance: MaintenanceScheduler;
  readonly startSnapshot: (appId: string) => Promise<unknown>;
}): AsyncDisposable {
  const { parts, scheduler, maintenance, startSnapshot } = options;
  const { logger, monitor } = parts;
  const loops = new AsyncDisposableStack();
  const schedule = loops.use(
    new BackgroundLoop({
      name: 'schedule',
      intervalMs: scheduleIntervalMs,
      logger,
      turn: async () => {
        await scheduler.tick();
        await maintenance.tick();
      },
    }),
  );
  const alerts = loops.use(
    new BackgroundLoop({
      name: 'alerts',
      intervalMs: alertIntervalMs,
      logger,
      turn: async () => {
        await monitor.evaluate();
        await monitor.notify();
      },
    }),
  );
  loops.use(
    new BackgroundLoop({
      name: 'repair',
      intervalMs: repairIntervalMs,
      logger,
      turn: async () => void (await parts.recover({ onlyNew: true })),
    }),
  );
  loops.use(
    new BackgroundLoop({
      name: 'repair again',
      intervalMs: repairAgainIntervalMs,
      logger,
      turn: async () => void (await parts.recover()),
    }),
  );
  const captures = loops.use(
    new CaptureSupervisor({ ...parts, startSnapshot, folder: parts.paths.wal, onChange: () => capture.wake() }),
  );
  const capture = loops.use(
    new BackgroundLoop({ name: 'WAL capture', intervalMs: captureIntervalMs, logger, turn: () => captures.turn() }),
  );
  loops.use(new BackgroundLoop({ name: 'clean-up', intervalMs: hourMs, logger, turn: () => cleanUp(parts) }));
  parts.onJobEnded = () => {
    schedule.wake();
    alerts.wake();
  };
  loops.defer(() => {
    parts.onJobEnded = () => {};
  });
  return loops;
}

/** Old jobs go; the catalogue's list of snapshots follows the repository. */
async function cleanUp(parts: Installation): Promise<void> {
  const { jobs, clock, repositoryStore, pool, snapshots, logger } = parts;
  await jobs.removeEndedBefore(new Date(clock.now().getTime() - keptJobsMs));
  const row = await repositoryStore.current();
  if (!row) return;
  try {
    await syncSnapshots({ repository: await pool.get(row.id), snapshots, logger });
  } catch (error) {
    logger.warn('the list of snapshots could not be brought up to date', { error: messageOf(error) });
  }
}
