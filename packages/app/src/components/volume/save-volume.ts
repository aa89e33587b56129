// Saves the files of a volume under `/volumes/<name>`.

import type { App, SavedVolume, VolumeComponent } from '@varve/contract';
import { helperSource, type VolumeSpec } from '@varve/docker';
import { AddedTotal, type Produced, type ProducerInput } from '../producer.ts';
import type { ProjectOnEngine } from '../docker-project.ts';
import { effectiveExcludes } from './volume-excludes.ts';
import { locateVolume, sourceOf, volumeMissing } from './locate-volume.ts';

const helperTarget = '/varve/volume';

export interface SaveVolumeInput extends ProducerInput {
  readonly app: App;
  readonly component: VolumeComponent;
  readonly project: ProjectOnEngine | null;
  readonly runId: string;
}

/** Where the full specification of a Docker volume is in the snapshot; its options may hold a password. */
export function volumeSpecPath(volume: string): string {
  return `/config/docker-volumes/${volume}.json`;
}

/** ARCHIVE_SOURCE_MISSING when the volume is gone, also when it goes while it is read. */
export async function saveVolume(input: SaveVolumeInput): Promise<Produced<SavedVolume>> {
  const { component, project, session, signal } = input;
  const total = new AddedTotal();
  const path = `/volumes/${component.name}`;
  const source = sourceOf(component);
  const place = await locateVolume(component, project, signal);
  if (place === null) throw volumeMissing(component);
  const spec =
    component.source.type === 'docker-volume'
      ? await project?.docker.inspectVolume(component.source.volume, { signal })
      : undefined;
  if (spec !== undefined) {
    // Not one of the volume's files, and not counted as one.
    await session.addBytes({
      target: volumeSpecPath(spec.name),
      data: Buffer.from(`${JSON.stringify(spec, null, 2)}\n`),
      mode: 0o600,
    });
  }
  input.onStep(source);
  if (place.readThrough === 'host') {
    const excludes = effectiveExcludes(input.app, component);
    total.add(await session.addPath({ source: place.path, target: path, excludes }));
  } else {
    const { docker, image, volume } = place;
    if (component.excludes.length > 0) {
      total.problems.push({
        path: source,
        message: `its excludes were not applied: it can only be read whole, through a container (${component.excludes.join(', ')})`,
      });
    }
    const mounts = [{ ...helperSource(volume), target: helperTarget, readOnly: true }];
    await docker.withHelperContainer({ image, mounts, run: input.runId, signal }, async (containerId) => {
      const tar = docker.readArchive(containerId, helperTarget, { signal });
      total.add(await session.addTar({ target: path, source: tar, stripComponents: 1 }));
    });
  }
  return {
    saved: {
      kind: 'volume',
      name: component.name,
      path,
      source,
      readThrough: place.readThrough,
      dockerVolume: spec === undefined ? null : publicSpec(spec),
      files: total.files,
      bytes: total.bytes,
    },
    files: total.files,
    bytes: total.bytes,
    problems: total.problems,
  };
}

/** The specification without what may be a password (`o=username=…,password=…`). */
function publicSpec(spec: VolumeSpec): NonNullable<SavedVolume['dockerVolume']> {
  const options = Object.entries(spec.options ?? {}).map(([name, value]) => [
    name,
    value.replaceAll(/\b(pass(?:word)?|cred[a-z]*)=[^,]*/gi, '$1=[redacted]'),
  ]);
  return {
    name: spec.name,
    driver: spec.driver ?? 'local',
    labels: { ...spec.labels },
    options: Object.fromEntries(options),
  };
}
