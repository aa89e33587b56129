// Stops an app of this host by its own command; the journal knows how to start it again before that runs.

import type { App } from '@varve/contract';
import type { RunContext, StoppedRecord } from '../use-case.ts';
import { restartStopped } from './restart-stopped.ts';
import { runCommand } from './run-command.ts';

/** Whether the app can be stopped and started by commands. */
export function hasStopCommand({ origin }: App): boolean {
  return origin.type === 'host' && (origin.stopCommand?.length ?? 0) > 0;
}

/**
 * Runs the app's stop command; nothing for an app without one. The records are to be given to `restartStopped` whatever
 * happens afterwards. When the command fails the app is started again and the error is thrown. COMMAND_FAILED, CANCELLED.
 */
export async function stopHostApp(context: RunContext, app: App): Promise<readonly StoppedRecord[]> {
  const { origin } = app;
  if (origin.type !== 'host' || origin.stopCommand === undefined || origin.stopCommand.length === 0) return [];
  const { startCommand } = origin;
  const records = startCommand?.length
    ? await context.stopped.record([{ kind: 'host-app', appId: app.id, startCommand }])
    : [];
  context.log('info', 'Running the stop command of the app.');
  try {
    await runCommand(origin.stopCommand, { signal: context.signal });
  } catch (error) {
    await restartStopped(context, records);
    throw error;
  }
  return records;
}
