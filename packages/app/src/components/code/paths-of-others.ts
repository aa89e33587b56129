// Which paths below a checkout are not code: data of other components, database files, and folders that containers mount
// and git does not know. They are neither saved with the code nor deleted when it is put back.

import type { App, CodeComponent } from '@varve/contract';
import { detectPostgres } from '@varve/docker';
import { isInside } from '../../discovery/host-paths.ts';
import type { ProjectOnEngine } from '../docker-project.ts';
import { holdsTrackedFiles, isThere } from './checkout.ts';
import { openGit } from './git.ts';
import { join } from 'node:path';

export interface PathsOfOthersInput {
  readonly app: App;
  readonly component: CodeComponent;
  readonly project: ProjectOnEngine | null;
  readonly signal: AbortSignal;
}

/** Absolute paths strictly below the checkout, sorted. */
export async function pathsOfOthers(input: PathsOfOthersInput): Promise<readonly string[]> {
  const { app, component, project, signal } = input;
  const paths = new Set<string>();
  for (const other of app.components) {
    if (other.kind === 'volume' && other.source.type === 'folder') paths.add(other.source.path);
    if (other.kind === 'database' && other.dataDirectory !== undefined) paths.add(other.dataDirectory);
    if (other.kind === 'code' && other.name !== component.name) paths.add(other.path);
  }
  const below = (path: string): boolean => path !== component.path && isInside(path, component.path);
  const git = (await isThere(join(component.path, '.git'))) ? await openGit(component.path, { signal }) : null;
  for (const container of project?.project.containers ?? []) {
    const dataMount = detectPostgres(container)?.dataMount;
    for (const mount of container.mounts.filter(({ type, source }) => type === 'bind' && below(source))) {
      const isData = dataMount !== undefined && mount.source === dataMount.source;
      if (isData || (git !== null && !(await holdsTrackedFiles(git, mount.source, signal)))) paths.add(mount.source);
    }
  }
  return [...paths].filter(below).sort();
}
