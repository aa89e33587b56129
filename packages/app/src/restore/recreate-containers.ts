// How containers that are gone are made again: by Compose, from the project's files, which go back to their places first
// when they are gone too. Networks and volumes that miss are made with them.

import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import type { Manifest, SavedConfig } from '@varve/contract';
import { readFileContent, type Repository } from '@varve/repository';
import { isThere } from '../components/code/checkout.ts';
import { collectBytes } from '../components/collect-bytes.ts';
import { restoreFile } from '../components/restore-file.ts';
import type { ProjectOnEngine } from '../components/docker-project.ts';

export interface Recreation {
  readonly project: string;
  readonly workingDir: string;
  readonly configFiles: readonly string[];
  /** Files that the project needs and that are gone: place → path in the snapshot. */
  readonly missingFiles: ReadonlyMap<string, string>;
}

interface RecreationInput {
  readonly repository: Repository;
  readonly treeId: string;
  readonly manifest: Manifest;
  readonly project: ProjectOnEngine;
  readonly signal: AbortSignal;
}

const specificationSchema = z.object({ Config: z.object({ Labels: z.record(z.string(), z.string()).nullish() }) });

/** Reads the Compose labels of the saved containers. Null when the app is no Compose project or its files are nowhere. */
export async function readRecreation(input: RecreationInput): Promise<Recreation | null> {
  const { repository, treeId, manifest, project, signal } = input;
  if (project.project.kind !== 'compose') return null;
  const configs = manifest.components.filter((component): component is SavedConfig => component.kind === 'config');
  const saved = new Map(configs.flatMap(({ files }) => files.map(({ source, path }) => [source, path] as const)));
  for (const { path, containers } of configs) {
    for (const { name } of containers) {
      const bytes = await collectBytes(
        readFileContent(repository, { treeId, path: `${path}/containers/${name}.json`, signal }),
      );
      const labels = specificationSchema.parse(JSON.parse(bytes.toString('utf8'))).Config.Labels ?? {};
      const workingDir = labels['com.docker.compose.project.working_dir'];
      const configFiles = (labels['com.docker.compose.project.config_files'] ?? '')
        .split(',')
        .filter((file) => file.startsWith('/'));
      if (!workingDir || configFiles.length === 0) continue;
      const missingFiles = new Map<string, string>();
      let isComplete = true;
      for (const file of new Set([...configFiles, ...saved.keys()])) {
        if (await isThere(file)) continue;
        const place = saved.get(file);
        if (place !== undefined) missingFiles.set(file, place);
        else isComplete = false;
      }
      if (isComplete) return { project: project.project.name, workingDir, configFiles, missingFiles };
    }
  }
  return null;
}

/** Puts the files back and has Compose create what is missing, without starting anything. DOCKER_COMMAND_FAILED. */
export async function recreateContainers(
  input: Omit<RecreationInput, 'manifest'>,
  recreation: Recreation,
): Promise<void> {
  const { repository, treeId, signal } = input;
  for (const [place, path] of recreation.missingFiles) {
    // The code that was put back before may have brought it.
    if (await isThere(place)) continue;
    await mkdir(dirname(place), { recursive: true });
    await restoreFile(repository, { treeId, path, target: place, signal });
  }
  const { workingDir, configFiles, project } = recreation;
  await mkdir(workingDir, { recursive: true });
  await input.project.docker.composeUp({ workingDir, configFiles, project, noStart: true, signal });
}
