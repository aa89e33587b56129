// Which extended attributes a restore touches. Names have dots, not slashes, so a glob covers a whole name.

import { ExcludePatterns } from '../filesystem/exclude-patterns.ts';
import type { AttributePatterns } from './restore-protocol.ts';

/** Undefined when all are. USAGE_INVALID for patterns that cannot be understood. */
export function attributeSelection(patterns: AttributePatterns): ((name: string) => boolean) | undefined {
  const include = new ExcludePatterns(patterns.include ?? []);
  const exclude = new ExcludePatterns(patterns.exclude ?? []);
  if (include.isEmpty && exclude.isEmpty) return undefined;
  return (name) => (include.isEmpty || include.matches(`/${name}`)) && !exclude.matches(`/${name}`);
}
