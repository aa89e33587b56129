// What below a volume's folder is not its own: patterns of the user, and the folders of other components, which are saved
// in their own way and must not be put back or deleted with the volume.

import type { App, VolumeComponent } from '@varve/contract';
import { isInside } from '../../discovery/host-paths.ts';
import { escapePattern } from '../code/save-code.ts';

/** Patterns relative to the component; with a leading `/` from its root. */
export function effectiveExcludes(app: App, component: VolumeComponent): readonly string[] {
  const { source } = component;
  if (source.type !== 'folder') return component.excludes;
  const others = app.components.flatMap((other) => {
    if (other.kind === 'code') return [other.path];
    if (other.kind === 'database' && other.dataDirectory !== undefined) return [other.dataDirectory];
    return other.kind === 'volume' && other.source.type === 'folder' ? [other.source.path] : [];
  });
  const nested = others.filter((path) => path !== source.path && isInside(path, source.path));
  return [...component.excludes, ...nested.map((path) => escapePattern(path.slice(source.path.length)))];
}
