// Saves what describes the app under `/config/<name>`: the named files below `files/` at their own paths, and for Docker
// apps the `docker inspect` of each container and volume. These hold passwords, as the files do: the repository is encrypted, and
// the manifest names files and images only.

import type { ConfigComponent, SavedConfig } from '@varve/contract';
import type { DockerEngine, DockerProject } from '@varve/docker';
import { isThere } from '../code/checkout.ts';
import { AddedTotal, type Produced, type ProducerInput } from '../producer.ts';

export interface SaveConfigInput extends ProducerInput {
  readonly component: Pick<ConfigComponent, 'name' | 'files'>;
  readonly project: { readonly docker: DockerEngine; readonly project: DockerProject } | null;
  /** Names of the containers that ran before the snapshot touched anything. */
  readonly running: ReadonlySet<string>;
}

/** A file that is gone is a problem, not a failure: the others describe the app still. */
export async function saveConfig(input: SaveConfigInput): Promise<Produced<SavedConfig>> {
  const { component, session, signal, onStep } = input;
  const path = `/config/${component.name}`;
  const total = new AddedTotal();
  const files: { source: string; path: string }[] = [];
  for (const source of component.files) {
    onStep(source);
    if (!(await isThere(source))) {
      total.problems.push({ path: source, message: 'this file is not there any more' });
      continue;
    }
    const target = `${path}/files${source}`;
    total.add(await session.addPath({ source, target }));
    files.push({ source, path: target });
  }
  const containers = input.project === null ? [] : await saveSpecifications(input, input.project, path, total, signal);
  // A folder without files would not be in the snapshot at all.
  const note = { files: files.map(({ source }) => source), containers: containers.map(({ name }) => name) };
  total.add(
    await session.addBytes({
      target: `${path}/contents.json`,
      data: Buffer.from(`${JSON.stringify(note, null, 2)}\n`),
    }),
  );
  return {
    saved: { kind: 'config', name: component.name, path, files, containers },
    files: total.files,
    bytes: total.bytes,
    problems: total.problems,
  };
}

async function saveSpecifications(
  input: SaveConfigInput,
  { docker, project }: { readonly docker: DockerEngine; readonly project: DockerProject },
  path: string,
  total: AddedTotal,
  signal: AbortSignal,
): Promise<SavedConfig['containers']> {
  const containers: SavedConfig['containers'] = [];
  for (const { id, name, service, image, imageId, imageDigest } of project.containers) {
    const specification = await docker.inspectRaw(id, { signal });
    const data = Buffer.from(`${JSON.stringify(specification, null, 2)}\n`);
    total.add(await input.session.addBytes({ target: `${path}/containers/${name}.json`, data, mode: 0o600 }));
    containers.push({
      name,
      service,
      image,
      imageId,
      imageDigest: imageDigest ?? null,
      wasRunning: input.running.has(name),
    });
  }
  return containers;
}
