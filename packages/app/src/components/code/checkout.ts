// Looks at a git checkout: where it ends, what is checked out, which references there are, what differs. Changes nothing.

import { lstat, realpath } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { AppError, redact, systemErrorCode } from '@varve/base';
import { z } from 'zod';
import { openGit, type Git } from './git.ts';

/** What `/code/<name>/state.json` holds. Readers accept unknown keys. */
export const codeStateSchema = z.object({
  format: z.literal('varve-code-state'),
  formatVersion: z.literal(1),
  /** Null before the first commit. */
  commit: z.string().nullable(),
  /** Short name of the branch; null when HEAD is detached. */
  branch: z.string().nullable(),
  /** Every reference: full name → object id. Symbolic ones are left out. */
  references: z.record(z.string(), z.string()),
  /** The index holds a merge that is not finished; it can not be put back exactly. */
  unmerged: z.boolean(),
  dirty: z.boolean(),
  /** Name → URL without credentials. */
  remotes: z.record(z.string(), z.string()),
  submodules: z.array(z.string()),
  /** sha1 or sha256. */
  objectFormat: z.string().default('sha1'),
  /** bundle: history is in `history.bundle`. objects: the object folder is copied (partial clones). none: no commit yet. */
  history: z.enum(['bundle', 'objects', 'none']),
  /** Paths below the checkout that belong to other components; relative, never touched by a restore. */
  excluded: z.array(z.string()),
});
export type CodeState = z.infer<typeof codeStateSchema>;

/** Root of the git checkout that `path` is in, or null. Looks upwards for `.git` without running anything. */
export async function findCheckoutRoot(path: string): Promise<string | null> {
  let folder: string;
  try {
    folder = await realpath(path);
  } catch {
    return null;
  }
  for (;;) {
    if (await isThere(join(folder, '.git'))) return folder;
    const parent = dirname(folder);
    if (parent === folder) return null;
    folder = parent;
  }
}

/** Whether git has files of `path`, which is the root of the checkout or below it. */
export async function holdsTrackedFiles(git: Git, path: string, signal?: AbortSignal): Promise<boolean> {
  const inside = relative(git.directory, path) || '.';
  const { stdout } = await git.try(['ls-files', '-z', '--', `:(literal)${inside}`], { signal });
  return stdout.length > 0;
}

/** Where git keeps its data for this checkout: `common` differs from `own` in a linked work tree. Absolute paths. */
export async function gitDirectories(git: Git, signal?: AbortSignal): Promise<{ own: string; common: string }> {
  const output = await git.run(['rev-parse', '--path-format=absolute', '--absolute-git-dir', '--git-common-dir'], {
    signal,
  });
  const [own, common] = output.trimEnd().split('\n');
  if (!own || !common) throw new AppError('CODE_FAILED', `git does not say where the data of ${git.directory} is.`);
  return { own, common };
}

/** Facts about the checkout at `path`. ARCHIVE_SOURCE_MISSING when there is none, CODE_FAILED when git fails. */
export async function inspectCheckout(
  path: string,
  options: { readonly signal?: AbortSignal | undefined; readonly excluded?: readonly string[] } = {},
): Promise<{ git: Git; state: CodeState; own: string; common: string }> {
  const { signal } = options;
  if (!(await isThere(join(path, '.git')))) {
    throw new AppError('ARCHIVE_SOURCE_MISSING', `There is no git checkout at ${path}.`, {
      hint: 'Put the checkout back, or remove this component from the app.',
      context: { path },
    });
  }
  const git = await openGit(path, { signal });
  const { own, common } = await gitDirectories(git, signal);
  const head = await readHead(git, signal);
  const status = await git.run(['status', '--porcelain=v2', '-z', '--untracked-files=normal'], { signal });
  const lines = status.split('\0').filter((line) => line !== '');
  const partial = await git.try(['config', '--get-regexp', '^(extensions.partialclone|remote\\..*\\.promisor)$'], {
    signal,
  });
  return {
    git,
    own,
    common,
    state: {
      format: 'varve-code-state',
      formatVersion: 1,
      ...head,
      references: await readReferences(git, signal),
      unmerged: lines.some((line) => line.startsWith('u ')),
      dirty: lines.length > 0,
      remotes: await readRemotes(git, signal),
      submodules: await readSubmodules(git, signal),
      objectFormat: (await git.run(['rev-parse', '--show-object-format'], { signal })).trim(),
      history: head.commit === null ? 'none' : partial.exitCode === 0 ? 'objects' : 'bundle',
      excluded: (options.excluded ?? []).map((excluded) => relative(path, excluded)),
    },
  };
}

/** Commit and branch that are checked out. */
export async function readHead(
  git: Git,
  signal?: AbortSignal,
): Promise<{ commit: string | null; branch: string | null }> {
  const commit = await git.try(['rev-parse', '--verify', '--quiet', 'HEAD^{commit}'], { signal });
  const branch = await git.try(['symbolic-ref', '--quiet', '--short', 'HEAD'], { signal });
  return {
    commit: commit.exitCode === 0 ? commit.stdout.toString('utf8').trim() : null,
    branch: branch.exitCode === 0 ? branch.stdout.toString('utf8').trim() : null,
  };
}

/** Every reference that is not symbolic. */
export async function readReferences(git: Git, signal?: AbortSignal): Promise<Record<string, string>> {
  const output = await git.run(['for-each-ref', '--format=%(refname)%09%(objectname)%09%(symref)'], { signal });
  const references: Record<string, string> = {};
  for (const line of output.split('\n')) {
    const [name, id, symbolic] = line.split('\t');
    if (name && id && !symbolic) references[name] = id;
  }
  return references;
}

async function readRemotes(git: Git, signal: AbortSignal | undefined): Promise<Record<string, string>> {
  const { stdout } = await git.try(['config', '-z', '--get-regexp', String.raw`^remote\..*\.url$`], { signal });
  const remotes: Record<string, string> = {};
  for (const entry of stdout.toString('utf8').split('\0')) {
    const [key, url] = entry.split('\n');
    if (key && url) remotes[key.slice('remote.'.length, -'.url'.length)] = redactRemote(url);
  }
  return remotes;
}

/** A remote's URL without user name, password, token or query. */
export function redactRemote(url: string): string {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(url)) return redact(url);
  try {
    const parsed = new URL(url);
    const keepsUser = parsed.protocol === 'ssh:' && parsed.password === '';
    if (!keepsUser) parsed.username = '';
    parsed.password = '';
    parsed.search = '';
    parsed.hash = '';
    return parsed.href;
  } catch {
    return '[unreadable]';
  }
}

async function readSubmodules(git: Git, signal: AbortSignal | undefined): Promise<string[]> {
  const output = await git.run(['ls-files', '-z', '--stage'], { signal });
  const gitlink = '160000 ';
  return output
    .split('\0')
    .filter((line) => line.startsWith(gitlink))
    .map((line) => line.slice(line.indexOf('\t') + 1));
}

/** Whether anything is at `path`. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR') return false;
    throw error;
  }
}
