// The little that we read out of Compose files: which service depends on which. docker-compose 1.x does not write the
// depends_on label, so the files are the only place. `extends` and `include` are not followed. Compose specification, services.

import { readFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { parse } from 'yaml';
import type { ServiceDependency } from './container.ts';

/** Dependencies by service, merged over all files in order. Files that cannot be read or parsed are left out. */
export async function readComposeDependencies(
  files: readonly string[],
): Promise<ReadonlyMap<string, readonly ServiceDependency[]>> {
  const merged = new Map<string, readonly ServiceDependency[]>();
  for (const file of files) {
    const text = await readFile(file, 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    for (const [service, dependencies] of composeDependencies(text)) {
      merged.set(service, [...(merged.get(service) ?? []), ...dependencies]);
    }
  }
  return merged;
}

/** Dependencies by service of one Compose file's text: depends_on (both forms), links, volumes_from, network_mode. */
export function composeDependencies(text: string): ReadonlyMap<string, readonly ServiceDependency[]> {
  const services = asRecord(asRecord(parseYaml(text))['services']);
  return new Map(Object.entries(services).map(([name, definition]) => [name, dependenciesOf(asRecord(definition))]));
}

/** Absolute paths of a project's Compose files; docker-compose 1.x writes them relative to the working folder. */
export function composeFilePaths(label: string, workingDir: string | undefined): readonly string[] {
  return label
    .split(',')
    .map((file) => file.trim())
    .filter((file) => file !== '' && file !== '-')
    .map((file) => (isAbsolute(file) || workingDir === undefined ? file : join(workingDir, file)));
}

function dependenciesOf(service: Record<string, unknown>): readonly ServiceDependency[] {
  const dependsOn = service['depends_on'];
  const explicit = Array.isArray(dependsOn)
    ? strings(dependsOn).map((name) => ({ service: name, condition: 'service_started' }))
    : Object.entries(asRecord(dependsOn)).map(([name, details]) => {
        const condition = asRecord(details)['condition'];
        return { service: name, condition: typeof condition === 'string' ? condition : 'service_started' };
      });
  const networkMode = service['network_mode'];
  const implied = [
    ...strings(service['links']).map((link) => link.split(':')[0] ?? ''),
    ...strings(service['volumes_from']).map((source) =>
      source.startsWith('container:') ? '' : (source.split(':')[0] ?? ''),
    ),
    ...(typeof networkMode === 'string' && networkMode.startsWith('service:')
      ? [networkMode.slice('service:'.length)]
      : []),
  ].filter((name) => name !== '' && !explicit.some((known) => known.service === name));
  return [...explicit, ...implied.map((name) => ({ service: name, condition: 'service_started' }))];
}

function parseYaml(text: string): unknown {
  try {
    return parse(text, { merge: true, logLevel: 'silent' });
  } catch {
    return undefined;
  }
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function strings(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
}
