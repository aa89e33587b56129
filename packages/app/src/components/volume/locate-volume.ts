// Where the files of a volume component are read and written: straight on this host where that is possible, because the
// Engine's archive calls lose sub-second times and extended attributes; else through a helper container.

import { realpath } from 'node:fs/promises';
import { AppError } from '@varve/base';
import type { VolumeComponent } from '@varve/contract';
import type { ContainerMount, DockerEngine } from '@varve/docker';
import { isThere } from '../code/checkout.ts';
import { bindMount, helperImage, type ProjectOnEngine } from '../docker-project.ts';

export type VolumePlace =
  | { readonly readThrough: 'host'; readonly path: string }
  | {
      readonly readThrough: 'archive';
      readonly docker: DockerEngine;
      readonly volume: string | ContainerMount;
      readonly image: string;
    };

/** Text that names the source for people and in the manifest. */
export function sourceOf(component: VolumeComponent): string {
  return component.source.type === 'docker-volume' ? component.source.volume : component.source.path;
}

/** The place, or null when the volume or folder is not there. DOCKER_NOT_FOUND when only a helper could reach it and there is no image. */
export async function locateVolume(
  component: VolumeComponent,
  project: ProjectOnEngine | null,
  signal: AbortSignal,
): Promise<VolumePlace | null> {
  const { source } = component;
  if (project === null) {
    if (source.type !== 'folder' || !(await isThere(source.path))) return null;
    return { readThrough: 'host', path: await realpath(source.path) };
  }
  const { docker } = project;
  const volume = source.type === 'docker-volume' ? source.volume : bindMount(source.path);
  if (source.type === 'docker-volume' && !(await docker.volumeExists(source.volume, { signal }))) return null;
  const path = await docker.volumeHostPath(volume, { signal });
  if (path !== undefined) return { readThrough: 'host', path: await realpath(path) };
  // Not visible from here and not there look alike for a folder, unless its parent is visible.
  if (source.type === 'folder' && (await isGone(docker, source.path, signal))) return null;
  const image = helperImage(project.project);
  if (image === undefined) {
    throw new AppError(
      'DOCKER_NOT_FOUND',
      `The volume "${component.name}" cannot be reached from here, and no container of the app is left whose image could help.`,
      {
        hint: 'Run Varve where it can read the folder of the volume, or create the containers of the app again.',
      },
    );
  }
  return { readThrough: 'archive', docker, volume, image };
}

async function isGone(docker: DockerEngine, path: string, signal: AbortSignal): Promise<boolean> {
  for (let folder = path; folder !== '/' && folder !== '';) {
    folder = folder.slice(0, folder.lastIndexOf('/')) || '/';
    if ((await docker.volumeHostPath(bindMount(folder), { signal })) === undefined) continue;
    return folder === path.slice(0, path.lastIndexOf('/')) || (folder !== '/' && !(await isThere(path)));
  }
  return false;
}

/** ARCHIVE_SOURCE_MISSING for a volume that has vanished. */
export function volumeMissing(component: VolumeComponent): AppError {
  const what = component.source.type === 'docker-volume' ? 'Docker volume' : 'folder';
  return new AppError('ARCHIVE_SOURCE_MISSING', `The ${what} ${sourceOf(component)} is not there.`, {
    hint: 'Bring it back (docker compose up -d makes missing volumes, empty), restore it from a snapshot, or remove this component from the app.',
    context: { component: component.name },
  });
}
