// Saves a git checkout under `/code/<name>`: `history.bundle` (every reference and every stash), `worktree/` (every file
// of the work tree, tracked or not, ignored or not, with owner and mode), `staged.diff` and `unstaged.diff`, `git/` (what
// of the git folder no bundle holds: configuration, hooks, reflogs, submodules' repositories, LFS objects) and
// `state.json`. The work tree as files is what a restore puts back; the diffs are for people and for the index.

import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '@varve/base';
import type { CodeComponent, SavedCode } from '@varve/contract';
import { AddedTotal, type Produced, type ProducerInput } from '../producer.ts';
import { inspectCheckout } from './checkout.ts';
import type { Git } from './git.ts';

/** Parts of a git folder that a bundle does not carry. Objects come with the bundle, the index as a diff. */
const gitFolderParts = [
  'config',
  'config.worktree',
  'description',
  'hooks',
  'info',
  'logs',
  'modules',
  'lfs',
  'shallow',
] as const;

/**
 * Saves the checkout. `excluded` are absolute paths below it that other components save or that hold a database.
 * ARCHIVE_SOURCE_MISSING when there is no checkout, CODE_FAILED when git fails.
 */
export async function saveCode(
  input: ProducerInput & { readonly component: CodeComponent; readonly excluded: readonly string[] },
): Promise<Produced<SavedCode>> {
  const { component, session, signal } = input;
  const target = `/code/${component.name}`;
  const { git, state, own, common } = await inspectCheckout(component.path, { signal, excluded: input.excluded });
  const total = new AddedTotal();
  input.onStep(`${component.path} (history)`);
  if (state.history === 'bundle') {
    const revisions = ['--all', 'HEAD', ...(await stashes(git, signal))];
    const source = git.stream(['-c', 'pack.threads=1', 'bundle', 'create', '-q', '-', ...revisions], { signal });
    total.add(await session.addStream({ target: `${target}/history.bundle`, source }));
  }
  for (const [name, args] of [
    ['staged.diff', ['--cached', ...(state.commit === null ? [await emptyTree(git, signal)] : ['HEAD'])]],
    ['unstaged.diff', []],
  ] as const) {
    const source = git.stream(['diff', ...diffOptions, ...args], { signal });
    total.add(await session.addStream({ target: `${target}/${name}`, source }));
  }
  for (const part of state.history === 'objects' ? [...gitFolderParts, 'objects'] : gitFolderParts) {
    const source = await firstThere([join(own, part), join(common, part)]);
    if (source !== null) total.add(await session.addPath({ source, target: `${target}/git/${part}` }));
  }
  input.onStep(component.path);
  const excludes = ['/.git', ...state.excluded.map((path) => `/${escapePattern(path)}`)];
  total.add(
    await session.addPath({
      source: component.path,
      target: `${target}/worktree`,
      excludes,
    }),
  );
  total.add(
    await session.addBytes({
      target: `${target}/state.json`,
      data: Buffer.from(`${JSON.stringify(state, null, 2)}\n`),
    }),
  );
  return {
    saved: {
      kind: 'code',
      name: component.name,
      path: target,
      source: component.path,
      commit: state.commit,
      branch: state.branch,
      dirty: state.dirty,
      remotes: state.remotes,
      bytes: total.bytes,
    },
    files: total.files,
    bytes: total.bytes,
    problems: total.problems,
  };
}

const diffOptions = [
  '--binary',
  '--no-ext-diff',
  '--no-textconv',
  '--no-color',
  '--full-index',
  '--no-renames',
  '--ignore-submodules=none',
];

/** A path as an exclude pattern that matches only that path. */
export function escapePattern(path: string): string {
  return path.replaceAll(/[\\*?[\]]/g, String.raw`\$&`);
}

/** Object id of the empty tree in this repository's hash. */
export async function emptyTree(git: Git, signal?: AbortSignal): Promise<string> {
  return (await git.run(['hash-object', '-t', 'tree', '--stdin'], { signal, input: '' })).trim();
}

async function stashes(git: Git, signal: AbortSignal): Promise<string[]> {
  const result = await git.try(['stash', 'list', '--format=%H'], { signal });
  return result.exitCode === 0
    ? result.stdout
        .toString('utf8')
        .split('\n')
        .filter((id) => id !== '')
    : [];
}

async function firstThere(paths: readonly string[]): Promise<string | null> {
  for (const path of paths) {
    try {
      await lstat(path);
      return path;
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
    }
  }
  return null;
}
