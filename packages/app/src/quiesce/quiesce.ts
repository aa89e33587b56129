// Stops or pauses containers and makes sure that they run again: the journal knows each before it is touched, and
// whatever happens afterwards they are started in the reverse order. Only containers that run are touched.

import { hostname } from 'node:os';
import { throwIfAborted } from '@varve/base';
import type { App } from '@varve/contract';
import { stopOrder, type Container, type DockerEngine, type DockerProject } from '@varve/docker';
import { isInside } from '../discovery/host-paths.ts';
import type { RunContext, StoppedRecord, StoppedThing } from '../use-case.ts';
import { restartStopped } from './restart-stopped.ts';

type StoppedContainer = Extract<StoppedThing, { kind: 'container' }>;
type Stopping = Pick<RunContext, 'docker' | 'stopped' | 'log' | 'logger' | 'signal'>;

/** Whether the container is the one that this process runs in: it is never stopped. */
export function isOwnContainer(container: Pick<Container, 'id'>): boolean {
  const name = hostname();
  return /^[0-9a-f]{12}$/.test(name) && container.id.startsWith(name);
}

/** Running containers that may write to files that the app saves, dependents first; without databases, which are saved through their servers. */
export function containersToQuiesce(app: App, project: DockerProject): readonly Container[] {
  const databases = new Set(
    app.components.flatMap((component) =>
      component.kind === 'database' && component.source.type === 'container' ? [component.source.service] : [],
    ),
  );
  const writers = project.containers.filter(
    (container) =>
      container.state === 'running' &&
      !databases.has(container.service) &&
      !isOwnContainer(container) &&
      mountsSavedFiles(container, app),
  );
  return stopOrder(writers).order;
}

function mountsSavedFiles(container: Container, app: App): boolean {
  return container.mounts.some((mount) => {
    if (!mount.readWrite) return false;
    return app.components.some((component) => {
      if (component.kind === 'code') return mount.type === 'bind' && overlap(mount.source, component.path);
      if (component.kind !== 'volume') return false;
      if (component.source.type === 'docker-volume')
        return mount.type === 'volume' && mount.name === component.source.volume;
      return mount.type === 'bind' && overlap(mount.source, component.source.path);
    });
  });
}

function overlap(a: string, b: string): boolean {
  return isInside(a, b) || isInside(b, a);
}

/**
 * Stops or pauses the containers, in the order given. When one of them does not stop, those before it are started again
 * and the error is thrown. A cancellation is looked at between two containers: one that the Engine goes on stopping after
 * we looked away would stay stopped. Containers that the Engine removes when they stop are paused instead. The records are
 * for {@link restartStopped}.
 */
export async function quiesce(
  context: Stopping,
  docker: DockerEngine,
  containers: readonly Container[],
  how: 'stopped' | 'paused',
): Promise<readonly StoppedRecord[]> {
  const things: StoppedContainer[] = [];
  for (const { id, name } of containers) {
    const isRemovedByStop =
      how === 'stopped' && (await docker.inspectRaw(id, { signal: context.signal })).HostConfig.AutoRemove;
    if (isRemovedByStop)
      context.log('warning', `${name} would be removed by stopping it (--rm): it is paused instead.`);
    things.push({ kind: 'container', containerId: id, name, how: isRemovedByStop ? 'paused' : how });
  }
  const records = await context.stopped.record(things);
  try {
    for (const thing of things) {
      throwIfAborted(context.signal);
      context.log('info', `${thing.how === 'stopped' ? 'Stopping' : 'Pausing'} ${thing.name}.`);
      if (thing.how === 'stopped') await docker.stop(thing.containerId);
      else await docker.pause(thing.containerId);
    }
  } catch (error) {
    await restartStopped(context, records);
    throw error;
  }
  return records;
}
