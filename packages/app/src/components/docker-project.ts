// The containers of a Docker app as they are now, and how paths of the Engine's host are reached from here.

import { isAppError } from '@varve/base';
import type { App } from '@varve/contract';
import type { Container, ContainerMount, DockerEngine, DockerProject } from '@varve/docker';
import type { RunContext } from '../use-case.ts';

/** An Engine and one project on it. */
export interface ProjectOnEngine {
  readonly docker: DockerEngine;
  readonly project: DockerProject;
}

/** The app's project; null for host apps. A project whose containers are all gone has none. DOCKER_UNREACHABLE. */
export async function projectOf(
  context: Pick<RunContext, 'docker' | 'signal'>,
  app: Pick<App, 'origin'>,
): Promise<ProjectOnEngine | null> {
  const { origin } = app;
  if (origin.type !== 'docker') return null;
  const docker = await context.docker();
  const kind = origin.grouping === 'compose' ? 'compose' : 'labelled';
  const gone: DockerProject = { name: origin.project, kind, workingDir: undefined, configFiles: [], containers: [] };
  try {
    const project = await docker.inspectProject(origin.project, { signal: context.signal });
    return { docker, project: project.kind === kind ? project : gone };
  } catch (error) {
    if (!isAppError(error, 'DOCKER_NOT_FOUND')) throw error;
    return { docker, project: gone };
  }
}

/** A bind mount of this path, as the docker room wants it to find the path from here. */
export function bindMount(path: string): ContainerMount {
  return {
    type: 'bind',
    name: undefined,
    source: path,
    destination: '/varve/volume',
    readWrite: true,
    driver: undefined,
  };
}

/** An image of the app that is on the host, for helper containers; running containers' images first. */
export function helperImage(project: DockerProject): string | undefined {
  const byState = (container: Container): number => (container.state === 'running' ? 0 : 1);
  return project.containers.toSorted((a, b) => byState(a) - byState(b))[0]?.imageId;
}
