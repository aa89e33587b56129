// A recovered cluster takes the place of the present one: on a host by a swap of folders. What was there is kept aside until
// the server runs on the new files, and goes back when it does not.

import { AppError, messageOf } from '@varve/base';
import type { App, DatabaseComponent, RecoveryStep } from '@varve/contract';
import { startServer, stopServer, swapDataDirectory } from '@varve/postgres';
import { checkBaseTarget } from '../components/database/restore-base.ts';
import { startHostDatabase, stopHostDatabase } from '../components/database/host-database.ts';
import { restartStopped } from '../quiesce/restart-stopped.ts';
import { hasStopCommand, stopHostApp } from '../quiesce/stop-host-app.ts';
import type { Problem, RunContext, StoppedRecord } from '../use-case.ts';
import type { RecoveryChoice } from './choose-recovery.ts';

/** The place that the data goes to. */
export interface HostInPlace {
  readonly type: 'host';
  readonly dataDirectory: string;
  readonly binDirectory: string;
  readonly component: DatabaseComponent;
}

interface CheckInput {
  readonly component: DatabaseComponent;
  readonly choice: RecoveryChoice;
}

/** RESTORE_TARGET_INVALID when the data folder cannot be replaced. Changes nothing. */
export async function checkHostPlace({ component, choice }: CheckInput): Promise<HostInPlace> {
  const binDirectory = await checkBaseTarget({ saved: choice.base.saved, component });
  return { type: 'host', dataDirectory: component.dataDirectory ?? '', binDirectory, component };
}

export function hostSteps(app: App, { dataDirectory, component }: HostInPlace): RecoveryStep[] {
  const { origin } = app;
  const [stop, start] = origin.type === 'host' ? [origin.stopCommand, origin.startCommand] : [];
  return [
    ...(stop?.length ? [{ type: 'run-stop-command' as const, command: stop.join(' ') }] : []),
    { type: 'stop-database', component: component.name, dataDirectory },
    { type: 'swap-data', dataDirectory },
    { type: 'start-database', component: component.name },
    ...(start?.length ? [{ type: 'run-start-command' as const, command: start.join(' ') }] : []),
  ];
}

/**
 * Stops the app, swaps, starts. RECOVERY_FAILED when the server does not start on the recovered files; what was there runs
 * again then.
 */
export async function swapInOnHost(
  context: RunContext,
  input: { readonly app: App; readonly inPlace: HostInPlace; readonly recovered: string },
): Promise<readonly Problem[]> {
  const { app, inPlace, recovered } = input;
  const { component, dataDirectory, binDirectory } = inPlace;
  const enter = (step: string): void => context.report({ step, filesDone: 0, bytesDone: 0 });
  const stopped: StoppedRecord[] = [];
  try {
    if (hasStopCommand(app)) {
      enter('run-stop-command');
      stopped.push(...(await stopHostApp(context, app)));
    }
    enter('stop-database');
    const record = await stopHostDatabase(context, component);
    if (record !== null) stopped.push(record);
    enter(`swap-data:${component.name}`);
    const serverOptions = record?.thing.kind === 'host-database' ? record.thing.serverOptions : null;
    const swap = await swapDataDirectory({ dataDirectory, restored: recovered, signal: context.signal });
    try {
      enter('start-database');
      await startServer({
        dataDirectory,
        binDir: binDirectory,
        ...(serverOptions === null ? {} : { options: serverOptions }),
      });
    } catch (error) {
      await stopServer({ dataDirectory, binDir: binDirectory, mode: 'immediate' });
      await swap.rollback();
      if (record !== null) await startHostDatabase({ dataDirectory, binDirectory, serverOptions });
      throw new AppError(
        'RECOVERY_FAILED',
        `The server did not start on the recovered files of "${component.name}": ${messageOf(error)}`,
        { hint: 'The files that were there are back in place.', cause: error },
      );
    }
    if (record === null) {
      context.log('info', `The server of ${dataDirectory} did not run before: it is stopped again.`);
      await stopServer({ dataDirectory, binDir: binDirectory });
    } else {
      stopped.splice(stopped.indexOf(record), 1);
      await context.stopped.clear(record.id);
    }
    await swap.commit();
  } catch (error) {
    const unstarted = await restartStopped(context, stopped);
    for (const { path, message } of unstarted) context.log('error', `${path}: ${message}`);
    throw error;
  }
  enter('run-start-command');
  return restartStopped(context, stopped);
}
