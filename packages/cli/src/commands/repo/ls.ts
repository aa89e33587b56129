// `varve repo ls`: the files of a snapshot.

import type { Snapshot, TreeNode } from '@varve/repository';
import { examples, type AddCommand } from '../../command.ts';
import {
  addFilterOptions,
  addRepositoryOptions,
  filterOf,
  openRepositoryFor,
  parseSnapshotPath,
  type RepositoryOptions,
} from '../../options/repository-options.ts';
import { formatGoFileMode } from '../../output/go-file-mode.ts';
import { snapshotJson } from '../../output/repository-json.ts';
import { printable } from '../../output/text.ts';
import { absoluteTime } from '../../output/time.ts';
import type { Session } from '../../session.ts';

interface Options extends RepositoryOptions {
  readonly long?: boolean;
  readonly recursive?: boolean;
}

export const addLsCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('ls')
    .description('list the files of a snapshot, all of them or those in some folders')
    .argument('<snapshot>', 'an id, the beginning of one, or latest; ID:folder starts in a folder')
    .argument('[folder...]', 'only what is in these folders of the snapshot')
    .option('-l, --long', 'modes, owners, sizes and times too')
    .option('--recursive', 'with folders: what is below them too')
    .addHelpText(
      'after',
      examples(['Everything', 'varve repo ls latest'], ['One folder, in detail', 'varve repo ls -l latest /etc/ssh']),
    );
  addFilterOptions(command);
  addRepositoryOptions(command);
  register(command, async (session) => {
    const { listTree } = await import('@varve/repository');
    const options = command.opts<Options>();
    const [text = '', ...folders] = command.args;
    const { name, path } = parseSnapshotPath(text);
    await using opened = await openRepositoryFor(session, options);
    const { repository } = opened;
    const snapshot = await repository.findSnapshot(name, filterOf(command), { signal: session.signal });
    await repository.loadIndex({ signal: session.signal });
    writeHeader(session, snapshot);
    const roots = folders.length === 0 ? [path] : folders.map((folder) => joined(path, folder));
    const recursive = folders.length === 0 || options.recursive === true;
    for (const root of roots) {
      for await (const item of listTree(repository, {
        treeId: snapshot.tree,
        path: root,
        recursive,
        signal: session.signal,
      })) {
        if (session.io.out.isClosed) return;
        writeNode(session, item, options.long ?? false);
      }
    }
  });
};

function joined(base: string, folder: string): string {
  return `${base === '/' ? '' : base}/${folder.replace(/^\/+/, '')}`;
}

function writeHeader(session: Session, snapshot: Snapshot): void {
  if (session.json) session.printJson({ ...snapshotJson(snapshot), message_type: 'snapshot', struct_type: 'snapshot' });
  else if (!session.quiet) {
    const paths = snapshot.paths.map(printable).join(' ');
    session.say(`snapshot ${snapshot.id.slice(0, 8)} of [${paths}] at ${absoluteTime(snapshot.time)}:`);
  }
}

function writeNode(session: Session, { path, node }: { path: string; node: TreeNode }, long: boolean): void {
  if (session.json) {
    session.printJson(nodeJson(path, node));
    return;
  }
  const target = node.linkTarget === undefined ? '' : ` -> ${printable(node.linkTarget.toString())}`;
  const owner = `${String(node.uid).padStart(5)} ${String(node.gid).padStart(5)}`;
  const facts = `${formatGoFileMode(node.mode)} ${owner} ${String(node.size).padStart(10)} ${absoluteTime(node.mtime)}`;
  session.io.out.write(long ? `${facts} ${printable(path)}${target}\n` : `${printable(path)}\n`);
}

/** As in `restic ls --json`. */
function nodeJson(path: string, node: TreeNode): Record<string, unknown> {
  return {
    name: node.name.toString(),
    type: node.type,
    path,
    uid: node.uid,
    gid: node.gid,
    size: node.type === 'file' ? node.size : undefined,
    mode: node.mode,
    permissions: formatGoFileMode(node.mode),
    mtime: node.mtime,
    atime: node.atime,
    ctime: node.ctime,
    linktarget: node.linkTarget?.toString(),
    message_type: 'node',
    struct_type: 'node',
  };
}
