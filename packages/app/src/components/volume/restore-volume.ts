// Puts the files of a volume back: what is there and was not in the snapshot goes, what is as it was stays, the rest is
// written with owner, mode and times.

import { mkdir } from 'node:fs/promises';
import { AppError, type OnProgress } from '@varve/base';
import type { App, SavedVolume, VolumeComponent } from '@varve/contract';
import { helperSource, type VolumeSpec } from '@varve/docker';
import { readFileContent, restoreTree, streamTar, type Repository } from '@varve/repository';
import type { Problem, RunContext } from '../../use-case.ts';
import { collectBytes } from '../collect-bytes.ts';
import type { ProjectOnEngine } from '../docker-project.ts';
import { locateVolume, volumeMissing, type VolumePlace } from './locate-volume.ts';
import { volumeSpecPath } from './save-volume.ts';
import { effectiveExcludes } from './volume-excludes.ts';

const helperTarget = '/varve/volume';

export interface RestoreVolumeInput {
  readonly context: Pick<RunContext, 'runId' | 'log'>;
  readonly app: App;
  readonly repository: Repository;
  readonly treeId: string;
  readonly component: VolumeComponent;
  readonly saved: SavedVolume;
  readonly project: ProjectOnEngine | null;
  readonly signal: AbortSignal;
  readonly onProgress?: OnProgress | undefined;
}

/** Makes a Docker volume or folder that is gone. True when it was made. */
export async function ensureVolume(input: Omit<RestoreVolumeInput, 'onProgress'>): Promise<boolean> {
  const { component, project, saved, signal } = input;
  const { source } = component;
  if (source.type === 'folder') {
    if ((await locateVolume(component, project, signal)) !== null) return false;
    await mkdir(source.path, { recursive: true });
    return true;
  }
  if (project === null)
    throw new AppError(
      'RESTORE_TARGET_INVALID',
      `The volume ${source.volume} is a Docker volume, and this app has no Docker.`,
    );
  if (await project.docker.volumeExists(source.volume, { signal })) return false;
  const spec = saved.dockerVolume === null ? {} : await readSpec(input, saved.dockerVolume.name);
  return project.docker.ensureVolume({ ...spec, name: source.volume }, { signal });
}

async function readSpec(
  { repository, treeId, signal }: Pick<RestoreVolumeInput, 'repository' | 'treeId' | 'signal'>,
  volume: string,
): Promise<Partial<VolumeSpec>> {
  const bytes = await collectBytes(readFileContent(repository, { treeId, path: volumeSpecPath(volume), signal }));
  return JSON.parse(bytes.toString('utf8')) as VolumeSpec;
}

/** The problems name files that are not as they were. Fails when the volume cannot be reached or written. */
export async function restoreVolume(input: RestoreVolumeInput): Promise<readonly Problem[]> {
  const { component, project, saved, signal } = input;
  await ensureVolume(input);
  const place = await locateVolume(component, project, signal);
  if (place === null) throw volumeMissing(component);
  if (place.readThrough === 'archive') return restoreThroughArchive(input, place);
  const excludes = effectiveExcludes(input.app, component);
  const result = await restoreTree(input.repository, {
    treeId: input.treeId,
    path: saved.path,
    target: place.path,
    exclude: excludes.map((pattern) => (pattern.startsWith('/') ? `${saved.path}${pattern}` : pattern)),
    deleteOthers: true,
    expected: { files: saved.files, bytes: saved.bytes },
    signal,
    onProgress: input.onProgress,
  });
  return result.problems;
}

async function restoreThroughArchive(
  input: RestoreVolumeInput,
  place: Extract<VolumePlace, { readThrough: 'archive' }>,
): Promise<readonly Problem[]> {
  const { context, repository, treeId, saved, signal } = input;
  const { docker, image, volume } = place;
  await docker.emptyVolume(volume, { image, run: context.runId, signal });
  const mounts = [{ ...helperSource(volume), target: helperTarget }];
  await docker.withHelperContainer({ image, mounts, run: context.runId, signal }, (containerId) =>
    docker.writeArchive(
      containerId,
      helperTarget,
      counted(streamTar(repository, { treeId, path: saved.path, signal }), input),
      { signal },
    ),
  );
  return [];
}

async function* counted(
  source: AsyncIterable<Uint8Array>,
  { saved, onProgress }: RestoreVolumeInput,
): AsyncGenerator<Uint8Array> {
  let bytesDone = 0;
  for await (const chunk of source) {
    bytesDone += chunk.length;
    onProgress?.({ filesDone: 0, filesTotal: saved.files, bytesDone, bytesTotal: saved.bytes });
    yield chunk;
  }
}
