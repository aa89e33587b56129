// Gives restored files other owners than they had: by number, or by name on either side.

import { readFileSync } from 'node:fs';
import { AppError } from '@varve/base';
import type { TreeNode } from '../tree/tree-node.ts';

/** Files of `from` (a name as it was saved, or a number) get the owner `to`. */
export interface OwnerRule {
  readonly from: string | number;
  readonly to: number;
}

/** The first rule that fits counts; what no rule fits keeps its numbers. */
export interface OwnerMap {
  readonly users?: readonly OwnerRule[] | undefined;
  readonly groups?: readonly OwnerRule[] | undefined;
}

const maxId = 2 ** 32 - 2;

/**
 * `www-data:1000` → a rule. On the left a name as it was saved or a number, on the right a number or a name that this system
 * has. USAGE_INVALID. `files` replaces the system's lists of names.
 */
export function parseOwnerRule(
  text: string,
  kind: 'user' | 'group',
  files: { readonly passwd?: string; readonly group?: string } = {},
): OwnerRule {
  const [from, to, ...rest] = text.split(':');
  if (!from || !to || rest.length > 0) {
    throw new AppError('USAGE_INVALID', `"${text}" does not say which ${kind} becomes which.`, {
      hint: `Give it as OLD:NEW, each a name or a number, like www-data:1000.`,
    });
  }
  const file = kind === 'user' ? (files.passwd ?? '/etc/passwd') : (files.group ?? '/etc/group');
  return { from: numberOf(from) ?? from, to: numberOf(to) ?? idOfName(to, kind, file) };
}

/** Numbers of the owner that a node gets. */
export function mapOwner(node: TreeNode, map: OwnerMap | undefined): { uid: number; gid: number } {
  const { uid, gid, user, group } = node;
  return { uid: mapped(map?.users, uid, user), gid: mapped(map?.groups, gid, group) };
}

function mapped(rules: readonly OwnerRule[] | undefined, id: number, name: string | undefined): number {
  return rules?.find(({ from }) => (typeof from === 'number' ? from === id : from === name))?.to ?? id;
}

function numberOf(text: string): number | undefined {
  if (!/^\d+$/.test(text)) return undefined;
  const value = Number(text);
  if (value <= maxId) return value;
  throw new AppError('USAGE_INVALID', `${text} is not the number of a user or group: ${maxId} is the largest.`);
}

function idOfName(name: string, kind: 'user' | 'group', file: string): number {
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    // No list, no names.
  }
  for (const line of text.split('\n')) {
    const [found, , id] = line.split(':');
    if (found === name && id !== undefined && /^\d+$/.test(id)) return Number(id);
  }
  throw new AppError('USAGE_INVALID', `This system has no ${kind} "${name}".`, { hint: 'Give its number instead.' });
}
