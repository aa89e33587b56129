// Starts again what runs have stopped: in the `finally` of the run itself, or in the next process after a crash. Looks at
// what is really there before it acts, so it may be repeated. No cancellation reaches it.

import { isAppError, messageOf } from '@varve/base';
import { undoSwap } from '../recovery/data-swap.ts';
import { startHostDatabase } from '../components/database/host-database.ts';
import type { Problem, RestartContext, StoppedRecord, StoppedThing } from '../use-case.ts';
import { runCommand } from './run-command.ts';

const databaseStopS = 120;

/** See the type RestartStopped: never throws, newest first, clears what is done. */
export async function restartStopped(
  context: RestartContext,
  records: readonly StoppedRecord[],
): Promise<readonly Problem[]> {
  const problems: Problem[] = [];
  for (const { id, thing } of [...records].reverse()) {
    try {
      const problem = await restart(context, thing);
      if (problem !== null) problems.push(problem);
      await context.stopped.clear(id);
    } catch (error) {
      const problem = { path: nameOf(thing), message: `could not be started again: ${messageOf(error)}` };
      problems.push(problem);
      context.log('error', `${problem.path} ${problem.message}`);
      // A server that is started without its data would make itself new one.
      if (thing.kind === 'swapped-data') break;
    }
  }
  return problems;
}

function nameOf(thing: StoppedThing): string {
  if (thing.kind === 'container') return `container ${thing.name}`;
  return thing.kind === 'host-app' ? `app ${thing.appId}` : `database ${thing.component}`;
}

async function restart(context: RestartContext, thing: StoppedThing): Promise<Problem | null> {
  if (thing.kind === 'container') return restartContainer(context, thing);
  if (thing.kind === 'host-app') {
    context.log('info', `Running the start command of ${thing.appId}.`);
    await runCommand(thing.startCommand);
    return null;
  }
  if (thing.kind === 'swapped-data') {
    context.log('info', `Putting the data of ${thing.component} back in its place.`);
    // Cut off after its start it runs on the new data.
    await (await context.docker()).stop(thing.containerId, { timeoutS: databaseStopS });
    await undoSwap(thing);
    return null;
  }
  context.log('info', `Starting the PostgreSQL server of ${thing.dataDirectory}.`);
  const putBack = await startHostDatabase(thing);
  if (putBack !== null) context.log('warning', `${thing.dataDirectory} was put back from ${putBack}.`);
  return null;
}

async function restartContainer(
  context: RestartContext,
  thing: Extract<StoppedThing, { kind: 'container' }>,
): Promise<Problem | null> {
  const docker = await context.docker();
  try {
    const container = await docker.inspectContainer(thing.containerId);
    if (container.state === 'paused') {
      context.log('info', `Resuming ${thing.name}.`);
      await docker.unpause(thing.containerId);
    } else if (container.state !== 'running' && container.state !== 'restarting') {
      context.log('info', `Starting ${thing.name}.`);
      await docker.start(thing.containerId);
    }
    return null;
  } catch (error) {
    if (!isAppError(error, 'DOCKER_NOT_FOUND')) throw error;
    return { path: nameOf(thing), message: 'is not there any more and could not be started again' };
  }
}
