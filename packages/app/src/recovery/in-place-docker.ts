// A recovered cluster takes the place of the data of a container: the app's containers are stopped, the data is swapped, the
// server is started and asked, and only then the old data goes. Until then it is in the journal how to put it back.

import { AppError, isAppError, messageOf } from '@varve/base';
import type { App, DatabaseComponent, RecoveryStep } from '@varve/contract';
import { stopOrder, type Container } from '@varve/docker';
import { databaseAccess } from '../components/database/database-access.ts';
import { waitForDatabase } from '../components/database/wait-for-database.ts';
import type { ProjectOnEngine } from '../components/docker-project.ts';
import { isOwnContainer, quiesce } from '../quiesce/quiesce.ts';
import { restartStopped } from '../quiesce/restart-stopped.ts';
import type { Problem, RunContext, StoppedRecord } from '../use-case.ts';
import { commitSwap, swapData, swapFolders, type DataSwap } from './data-swap.ts';
import type { DockerData } from './docker-site.ts';

const databaseTimeoutMs = 180_000;
const healthyTimeoutMs = 180_000;

export interface DockerInPlace {
  readonly type: 'docker';
  readonly app: App;
  readonly component: DatabaseComponent;
  readonly project: ProjectOnEngine;
  readonly data: DockerData;
}

/** Running containers, dependents first. The server's own is one of them when it runs. */
function containersToStop({ project }: DockerInPlace): readonly Container[] {
  const running = project.project.containers.filter(
    (container) => ['running', 'restarting', 'paused'].includes(container.state) && !isOwnContainer(container),
  );
  return stopOrder(running).order;
}

export function dockerSteps(inPlace: DockerInPlace): RecoveryStep[] {
  const names = containersToStop(inPlace).map(({ name }) => name);
  return [
    ...(names.length > 0 ? [{ type: 'stop-containers' as const, containers: names }] : []),
    { type: 'swap-data', dataDirectory: `${inPlace.data.container.name}:${inPlace.data.dataPath}` },
    { type: 'start-database', component: inPlace.component.name },
    ...(names.length > 0
      ? [
          { type: 'start-containers' as const, containers: names.toReversed() },
          { type: 'wait-healthy' as const, containers: names.toReversed() },
        ]
      : []),
  ];
}

/** RECOVERY_FAILED when the server does not run on the recovered data; the old data is back and the app runs then. */
export async function swapInContainer(
  context: RunContext,
  input: { readonly inPlace: DockerInPlace; readonly recovered: string; readonly id: string },
): Promise<readonly Problem[]> {
  const { inPlace, recovered, id } = input;
  const { project, data, component } = inPlace;
  const enter = (step: string): void => context.report({ step, filesDone: 0, bytesDone: 0 });
  const { old, how } = swapFolders(data.dataHere, { id, isRoot: data.isRoot });
  const swap: DataSwap = { current: data.dataHere, recovered, old, how };
  const stopped: StoppedRecord[] = [];
  try {
    enter('stop-containers');
    const containers = containersToStop(inPlace);
    stopped.push(...(await quiesce(context, project.docker, containers, 'stopped')));
    enter(`swap-data:${component.name}`);
    const [undo] = await context.stopped.record([
      { kind: 'swapped-data', component: component.name, containerId: data.container.id, ...swap },
    ]);
    if (undo !== undefined) stopped.push(undo);
    await swapData(swap);
    enter('start-database');
    await startDatabase(context, inPlace, containers);
    if (undo !== undefined) {
      stopped.splice(stopped.indexOf(undo), 1);
      await context.stopped.clear(undo.id);
    }
  } catch (error) {
    const unstarted = await restartStopped(context, stopped);
    for (const { path, message } of unstarted) context.log('error', `${path}: ${message}`);
    if (isAppError(error, 'CANCELLED')) throw error;
    throw new AppError('RECOVERY_FAILED', `The recovered data could not take its place: ${messageOf(error)}`, {
      hint:
        unstarted.length === 0
          ? 'The data that was there is back in place.'
          : 'See the log of the job for what is not back yet.',
      cause: error,
    });
  }
  await commitSwap(swap);
  enter('start-containers');
  const problems = [...(await restartStopped(context, stopped))];
  problems.push(...(await waitHealthy(context, inPlace)));
  return problems;
}

/** Its data is right when it answers. One that did not run before is stopped again. */
async function startDatabase(
  context: RunContext,
  { component, project, data }: DockerInPlace,
  stopped: readonly Container[],
): Promise<void> {
  const { docker } = project;
  const { signal } = context;
  await docker.start(data.container.id, { signal });
  const access = await databaseAccess({ component, secrets: context.secrets, project, signal });
  await waitForDatabase(access, { timeoutMs: databaseTimeoutMs, signal });
  if (stopped.some(({ id }) => id === data.container.id)) return;
  context.log('info', `${data.container.name} did not run before: it is stopped again.`);
  await docker.stop(data.container.id, { timeoutS: 60, signal });
}

async function waitHealthy(context: RunContext, inPlace: DockerInPlace): Promise<Problem[]> {
  const ids = containersToStop(inPlace).map(({ id }) => id);
  if (ids.length === 0) return [];
  context.report({ step: 'wait-healthy', filesDone: 0, bytesDone: 0 });
  try {
    await inPlace.project.docker.waitHealthy(ids, { timeoutMs: healthyTimeoutMs, signal: context.signal });
    return [];
  } catch (error) {
    // The data is back: an app that does not come up is told, and does not make the recovery a failed one.
    if (!isAppError(error, 'DOCKER_UNHEALTHY')) throw error;
    return [{ path: 'containers', message: messageOf(error) }];
  }
}
