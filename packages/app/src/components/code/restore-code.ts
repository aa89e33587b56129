// Puts a git checkout back in place without losing what was done since: every reference that moves, every stash and the
// uncommitted changes of today stay reachable under `refs/varve/before-restore/<time>/`. References of the snapshot get
// their old values, references made since are left alone. The work tree becomes what was saved, byte for byte.

import { chmod, chown, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createWriteStream } from 'node:fs';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AppError, messageOf, throwIfAborted, type OnProgress } from '@varve/base';
import type { SavedCode } from '@varve/contract';
import { findNode, readFileContent, restoreTree, type Repository } from '@varve/repository';
import type { Problem } from '../../use-case.ts';
import { collectBytes } from '../collect-bytes.ts';
import { codeStateSchema, gitDirectories, isThere, readHead, readReferences, type CodeState } from './checkout.ts';
import { openGit, type Git } from './git.ts';
import { escapePattern } from './save-code.ts';

export interface RestoreCodeInput {
  readonly repository: Repository;
  readonly treeId: string;
  readonly saved: SavedCode;
  /** Where the checkout goes; made when missing. */
  readonly path: string;
  /** Absolute paths below it that belong to other components now; neither deleted nor changed. */
  readonly excluded: readonly string[];
  readonly now: Date;
  readonly signal: AbortSignal;
  readonly onProgress?: OnProgress | undefined;
}

export interface RestoredCode {
  readonly problems: readonly Problem[];
  /** Prefix of the references that keep what was there; null when nothing had to be kept. */
  readonly keptAt: string | null;
}

/** The saved facts about a checkout. RESTORE_FAILED when the snapshot holds something else. */
export async function readCodeState(
  input: Pick<RestoreCodeInput, 'repository' | 'treeId' | 'signal'> & { readonly saved: SavedCode },
): Promise<CodeState> {
  const { repository, treeId, signal, saved } = input;
  const bytes = await collectBytes(readFileContent(repository, { treeId, path: `${saved.path}/state.json`, signal }));
  const state = codeStateSchema.safeParse(JSON.parse(bytes.toString('utf8')));
  if (state.success) return state.data;
  throw new AppError(
    'RESTORE_FAILED',
    `${saved.path}/state.json of the snapshot is not what this version understands.`,
    {
      hint: 'Use the version of Varve that made the snapshot, or a newer one.',
      cause: state.error,
    },
  );
}

/** Puts the checkout back. CODE_FAILED when git fails; the message says how far it got. */
export async function restoreCode(input: RestoreCodeInput): Promise<RestoredCode> {
  const state = await readCodeState(input);
  const problems: Problem[] = [];
  const existed = await isThere(join(input.path, '.git'));
  let keptAt: string | null = null;
  if (existed) {
    const git = await openGit(input.path, { signal: input.signal });
    keptAt = await keepWhatIsThere(git, state, input);
    await addToRepository(git, input);
    await bringHistory(git, state, input, problems);
    problems.push(...(await restoreWorktree(input, state)).problems);
    await restoreIndex(git, state, input, problems);
    await checkHead(git, state, input, problems);
    return { problems, keptAt };
  }
  await mkdir(input.path, { recursive: true });
  problems.push(...(await restoreWorktree(input, state)).problems);
  const git = await makeRepository(state, input);
  await bringHistory(git, state, input, problems);
  await restoreIndex(git, state, input, problems);
  await checkHead(git, state, input, problems);
  return { problems, keptAt };
}

/** What can be checked cheaply: the commit and branch that are checked out. */
async function checkHead(git: Git, state: CodeState, input: RestoreCodeInput, problems: Problem[]): Promise<void> {
  const head = await readHead(git, input.signal);
  if (head.commit === state.commit && head.branch === state.branch) return;
  const shown = `${head.branch ?? 'detached'} ${head.commit?.slice(0, 12) ?? 'without a commit'}`;
  problems.push({
    path: input.path,
    message: `the checkout is at ${shown}, not where it was when the snapshot was made`,
  });
}

async function restoreWorktree(input: RestoreCodeInput, state: CodeState) {
  const excluded = [...state.excluded, ...input.excluded.map((path) => path.slice(input.path.length + 1))];
  return restoreTree(input.repository, {
    treeId: input.treeId,
    path: `${input.saved.path}/worktree`,
    target: input.path,
    exclude: ['.git', ...excluded].map((path) => `${input.saved.path}/worktree/${escapePattern(path)}`),
    deleteOthers: true,
    signal: input.signal,
    onProgress: input.onProgress,
  });
}

/** Keeps references that will move, stashes, and a commit of the uncommitted changes. Yields the prefix. */
async function keepWhatIsThere(git: Git, state: CodeState, input: RestoreCodeInput): Promise<string | null> {
  const { signal } = input;
  const prefix = `refs/varve/before-restore/${input.now.toISOString().replaceAll(/[-:]|\.\d+/g, '')}`;
  const current = await readReferences(git, signal);
  const keep = new Map<string, string>();
  for (const [name, id] of Object.entries(state.references)) {
    const now = current[name];
    if (now !== undefined && now !== id) keep.set(`${prefix}/${name.slice('refs/'.length)}`, now);
  }
  const head = await readHead(git, signal);
  if (head.commit !== null && head.commit !== state.commit) keep.set(`${prefix}/HEAD`, head.commit);
  const stashes = await git.try(['stash', 'list', '--format=%H'], { signal });
  const ids =
    stashes.exitCode === 0
      ? stashes.stdout
          .toString('utf8')
          .split('\n')
          .filter((id) => id !== '')
      : [];
  if (state.references['refs/stash'] !== undefined)
    ids.forEach((id, index) => keep.set(`${prefix}/stash-${index}`, id));
  if (head.commit !== null) {
    const changes = await git.try(['stash', 'create', 'before a restore by Varve'], { signal });
    const id = changes.stdout.toString('utf8').trim();
    if (changes.exitCode === 0 && id !== '') keep.set(`${prefix}/uncommitted`, id);
  }
  if (keep.size === 0) return null;
  const commands = [...keep].map(([name, id]) => `create ${name} ${id}\n`).join('');
  await git.run(['update-ref', '--stdin'], { signal, input: commands });
  return prefix;
}

/** A new repository at the path, with the saved configuration, hooks, reflogs, submodules and LFS objects. */
async function makeRepository(state: CodeState, input: RestoreCodeInput): Promise<Git> {
  const git = await openGit(input.path, { signal: input.signal });
  await git.run(['init', '-q', `--object-format=${state.objectFormat}`, '--template='], { signal: input.signal });
  const folder = join(input.path, '.git');
  const { mode, uid, gid } = await stat(folder);
  const { repository, treeId, saved, signal } = input;
  await restoreTree(repository, { treeId, path: `${saved.path}/git`, target: folder, signal });
  // That gave the folder the owner of a folder that only the snapshot has.
  await chmod(folder, mode & 0o7777);
  if (process.getuid?.() === 0) await chown(folder, uid, gid);
  // A linked work tree or a submodule names its place in the configuration; this repository stands alone.
  const config = join(folder, 'config');
  await git.try(['config', '--file', config, '--unset-all', 'core.worktree'], { signal: input.signal });
  await git.try(['config', '--file', config, 'core.bare', 'false'], { signal: input.signal });
  return openGit(input.path, { signal: input.signal });
}

/** What a bundle does not carry, into a repository that is there: added to what it has. */
async function addToRepository(git: Git, input: RestoreCodeInput): Promise<void> {
  const { repository, treeId, signal } = input;
  const { common } = await gitDirectories(git, signal);
  for (const part of ['modules', 'lfs', 'objects']) {
    const path = `${input.saved.path}/git/${part}`;
    if (await isInSnapshot(input, path))
      await restoreTree(repository, { treeId, path, target: join(common, part), signal });
  }
}

async function isInSnapshot(input: RestoreCodeInput, path: string): Promise<boolean> {
  try {
    await findNode(input.repository, { treeId: input.treeId, path });
    return true;
  } catch (error) {
    if (error instanceof AppError && error.code === 'PATH_NOT_FOUND') return false;
    throw error;
  }
}

/** Objects, references and HEAD of the snapshot. */
async function bringHistory(git: Git, state: CodeState, input: RestoreCodeInput, problems: Problem[]): Promise<void> {
  const { common } = await gitDirectories(git, input.signal);
  if (state.history === 'bundle') await unbundle(git, common, input);
  await joinShallow(common, input);
  await setReferences(git, state, input, problems);
  throwIfAborted(input.signal);
  const message = ['-m', 'restore by Varve'];
  if (state.branch !== null)
    await git.run(['symbolic-ref', ...message, 'HEAD', `refs/heads/${state.branch}`], { signal: input.signal });
  else if (state.commit !== null)
    await git.run(['update-ref', ...message, '--no-deref', 'HEAD', state.commit], { signal: input.signal });
}

async function unbundle(git: Git, common: string, input: RestoreCodeInput): Promise<void> {
  const { repository, treeId, saved, signal } = input;
  const file = join(common, `varve-restore-${process.pid}.bundle`);
  try {
    const content = readFileContent(repository, { treeId, path: `${saved.path}/history.bundle`, signal });
    await pipeline(Readable.from(content, { objectMode: false }), createWriteStream(file, { mode: 0o644 }), { signal });
    await git.run(['bundle', 'unbundle', file], { signal });
  } finally {
    await rm(file, { force: true });
  }
}

/** The commits at which a shallow clone ends: those of the snapshot are added where the history here ends as well. */
async function joinShallow(common: string, input: RestoreCodeInput): Promise<void> {
  const path = `${input.saved.path}/git/shallow`;
  const file = join(common, 'shallow');
  if (!(await isThere(file)) || !(await isInSnapshot(input, path))) return;
  const saved = await collectBytes(
    readFileContent(input.repository, { treeId: input.treeId, path, signal: input.signal }),
  );
  const lines = new Set(
    `${await readFile(file, 'utf8')}\n${saved.toString('utf8')}`.split('\n').filter((line) => line !== ''),
  );
  await writeFile(file, `${[...lines].join('\n')}\n`);
}

async function setReferences(git: Git, state: CodeState, input: RestoreCodeInput, problems: Problem[]): Promise<void> {
  const current = await readReferences(git, input.signal);
  const elsewhere = await branchesElsewhere(git, input);
  const updates = Object.entries(state.references).filter(([name, id]) => {
    if (current[name] === id) return false;
    if (name.startsWith('refs/remotes/') || name.startsWith('refs/varve/')) return current[name] === undefined;
    if (!elsewhere.has(name)) return true;
    problems.push({
      path: `${input.path} (${name})`,
      message: 'left as it is: another work tree has this branch checked out',
    });
    return false;
  });
  const lineOf = ([name, id]: readonly [string, string]): string => `update ${name} ${id}\n`;
  const all = await git.try(['update-ref', '-m', 'restore by Varve', '--stdin'], {
    signal: input.signal,
    input: updates.map(lineOf).join(''),
  });
  if (all.exitCode !== 0) {
    for (const update of updates) {
      const one = await git.try(['update-ref', '-m', 'restore by Varve', '--stdin'], {
        signal: input.signal,
        input: lineOf(update),
      });
      if (one.exitCode !== 0) problems.push({ path: `${input.path} (${update[0]})`, message: one.stderr.trim() });
    }
  }
  if (updates.some(([name]) => name === 'refs/stash')) {
    const { common } = await gitDirectories(git, input.signal);
    const path = `${input.saved.path}/git/logs/refs/stash`;
    if (!(await isInSnapshot(input, path))) return;
    const log = await collectBytes(
      readFileContent(input.repository, { treeId: input.treeId, path, signal: input.signal }),
    );
    const file = join(common, 'logs/refs/stash');
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, log);
    if (git.owner !== undefined) await chown(file, git.owner.uid, git.owner.gid);
  }
}

async function branchesElsewhere(git: Git, input: RestoreCodeInput): Promise<ReadonlySet<string>> {
  const output = await git.run(['worktree', 'list', '--porcelain'], { signal: input.signal });
  const branches = new Set<string>();
  let folder = '';
  for (const line of output.split('\n')) {
    if (line.startsWith('worktree ')) folder = line.slice('worktree '.length);
    if (line.startsWith('branch ') && folder !== input.path) branches.add(line.slice('branch '.length));
  }
  return branches;
}

/** The index: the commit's tree and what was staged on top of it. */
async function restoreIndex(git: Git, state: CodeState, input: RestoreCodeInput, problems: Problem[]): Promise<void> {
  const { signal } = input;
  await git.run(['read-tree', ...(state.commit === null ? ['--empty'] : [state.commit])], { signal });
  const path = `${input.saved.path}/staged.diff`;
  const diff = await collectBytes(readFileContent(input.repository, { treeId: input.treeId, path, signal }));
  if (state.unmerged) {
    problems.push({ path: input.path, message: 'a merge was under way: its files are back, its index is not' });
  } else if (diff.length > 0) {
    const applied = await git.try(['apply', '--cached', '--binary', '--whitespace=nowarn', '-'], {
      signal,
      input: diff,
    });
    if (applied.exitCode !== 0) {
      problems.push({
        path: input.path,
        message: `the files are back; what was staged is not: ${messageOf(applied.stderr.trim())}`,
      });
    }
  }
  await git.try(['update-index', '-q', '--refresh'], { signal });
}
