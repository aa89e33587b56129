// What the user should know before a restore begins.

import { statfs } from 'node:fs/promises';
import { formatBytes } from '@varve/base';
import type { RestorePlan, SavedConfig } from '@varve/contract';
import { savedTablespaces, tablespacesWarning } from '../components/database/saved-tablespaces.ts';
import { locateVolume } from '../components/volume/locate-volume.ts';
import type { PlanRestoreInput, RunContext } from '../use-case.ts';
import type { RestoreScope } from './restore-scope.ts';

type Warning = RestorePlan['warnings'][number];

/** In the order of their weight. */
export async function restoreWarnings(
  context: RunContext,
  input: PlanRestoreInput,
  scope: RestoreScope,
): Promise<Warning[]> {
  const { app, manifest, parts, snapshot, missingServices, recreation } = scope;
  const names = parts.map(({ saved }) => saved.name).join(', ');
  const warnings: Warning[] = [
    {
      code: 'newer-data-lost',
      subject: app.id,
      message: `What changed in ${names} after ${snapshot.time.slice(0, 19).replace('T', ' ')} UTC is replaced.`,
    },
  ];
  if (!input.safetySnapshot) {
    warnings.push({
      code: 'no-safety-snapshot',
      subject: app.id,
      message: 'Without a safety snapshot the present state cannot be brought back.',
    });
  }
  if (manifest.problems.length > 0) {
    const shown = manifest.problems
      .slice(0, 3)
      .map(({ path }) => path)
      .join(', ');
    warnings.push({
      code: 'snapshot-partial',
      subject: snapshot.id,
      message: `${manifest.problems.length} things could not be read when the snapshot was made: ${shown}.`,
    });
  }
  for (const component of app.components) {
    if (
      component.kind === 'config' ||
      manifest.components.some(({ kind, name }) => kind === component.kind && name === component.name)
    )
      continue;
    warnings.push({
      code: 'component-missing',
      subject: component.name,
      message: `The snapshot has no ${component.kind} "${component.name}": it stays as it is.`,
    });
  }
  if (missingServices.length > 0) {
    const remedy =
      recreation === null
        ? 'Make them again with docker compose up -d.'
        : `Compose makes them again from ${recreation.configFiles.join(', ')}.`;
    warnings.push({
      code: 'containers-missing',
      subject: missingServices.join(', '),
      message: `These services have no container: ${missingServices.join(', ')}. ${remedy}`,
    });
  }
  warnings.push(...(await tablespaceWarnings(context, scope)));
  warnings.push(...imageWarnings(scope), ...(await spaceWarnings(context, scope)));
  return warnings;
}

async function tablespaceWarnings({ signal }: RunContext, scope: RestoreScope): Promise<Warning[]> {
  const warnings: Warning[] = [];
  for (const { kind, saved } of scope.parts) {
    if (kind !== 'database' || saved.method !== 'base') continue;
    const where = { treeId: scope.snapshot.tree, name: saved.name, signal };
    const tablespaces = await savedTablespaces(scope.repository, where);
    const message = tablespacesWarning(tablespaces, { isInPlace: true });
    if (message !== undefined) warnings.push({ code: 'tablespaces', subject: saved.name, message });
  }
  return warnings;
}

function imageWarnings({ manifest, project }: RestoreScope): Warning[] {
  if (project === null) return [];
  const saved = manifest.components
    .filter((component): component is SavedConfig => component.kind === 'config')
    .flatMap(({ containers }) => containers);
  return project.project.containers.flatMap((container) => {
    const before = saved.find(({ name }) => name === container.name);
    if (before === undefined || before.imageId === container.imageId) return [];
    const message = `The container ${container.name} runs ${container.image} (${container.imageId.slice(0, 19)}); the snapshot was made with ${before.image} (${before.imageId.slice(0, 19)}).`;
    return [{ code: 'other-version' as const, subject: container.service, message }];
  });
}

/** Only what is written to this host's file systems can be foreseen. */
async function spaceWarnings(context: RunContext, { parts, project }: RestoreScope): Promise<Warning[]> {
  const warnings: Warning[] = [];
  for (const part of parts) {
    if (part.kind !== 'volume') continue;
    const place = await locateVolume(part.component, project, context.signal);
    if (place?.readThrough !== 'host') continue;
    const { bavail, bsize } = await statfs(place.path);
    const free = bavail * bsize;
    if (free < part.saved.bytes) {
      warnings.push({
        code: 'low-space',
        subject: part.saved.name,
        message: `${formatBytes(free)} are free where "${part.saved.name}" goes, and it has ${formatBytes(part.saved.bytes)}. Unchanged files are not written again.`,
      });
    }
  }
  return warnings;
}
