// `varve repo dump SNAPSHOT PATH`: a file of a snapshot, or a folder as tar or zip, to standard output or into a file.

import { resolve } from 'node:path';
import { AppError } from '@varve/base';
import type { Repository } from '@varve/repository';
import { Option } from 'commander';
import { examples, type AddCommand } from '../../command.ts';
import {
  addFilterOptions,
  addLockOptions,
  addRepositoryOptions,
  filterOf,
  openLockedRepository,
  parseSnapshotPath,
  type LockCommandOptions,
} from '../../options/repository-options.ts';
import { toFile, toOutput } from '../../output/write-bytes.ts';

interface Options extends LockCommandOptions {
  readonly archive: 'tar' | 'zip';
  readonly target?: string;
}

export const addDumpCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('dump')
    .description('write a file of a snapshot, or a folder as an archive, to standard output')
    .argument('<snapshot>', 'an id, the beginning of one, or latest; ID:folder starts in a folder')
    .argument('<path>', 'file or folder in the snapshot; / for all of it')
    .addOption(new Option('-a, --archive <format>', 'format of a folder').choices(['tar', 'zip']).default('tar'))
    .option('-t, --target <file>', 'write into this file')
    .addHelpText(
      'after',
      examples(
        ['A database dump into the database', 'varve repo dump latest /all.sql | psql'],
        ['A folder as a zip file', 'varve repo dump -a zip -t etc.zip latest:/etc /'],
      ),
    );
  addFilterOptions(command);
  addRepositoryOptions(command);
  addLockOptions(command);
  register(command, async (session) => {
    const options = command.opts<Options>();
    const [text = '', file = ''] = command.args;
    const { name, path: base } = parseSnapshotPath(text);
    const { out } = session.io;
    if (options.target === undefined && out.isTerminal && options.archive === 'zip') throw terminal();
    await using opened = await openLockedRepository(session, options, { exclusive: false });
    const { repository, signal } = opened;
    const snapshot = await repository.findSnapshot(name, filterOf(command), { signal });
    await repository.loadIndex({ signal });
    const { findTree } = await import('@varve/repository');
    const treeId = await findTree(repository, { treeId: snapshot.tree, path: base, signal });
    const source = await content(repository, {
      treeId,
      path: `/${file.replace(/^\/+|\/+$/g, '')}`,
      archive: options.archive,
      signal,
      refusesArchive: options.target === undefined && out.isTerminal,
    });
    if (options.target === undefined) await toOutput(out, source);
    else await toFile(resolve(session.io.cwd, options.target), source);
  });
};

async function content(
  repository: Repository,
  options: {
    readonly treeId: string;
    readonly path: string;
    readonly archive: 'tar' | 'zip';
    readonly signal: AbortSignal;
    readonly refusesArchive: boolean;
  },
): Promise<AsyncIterable<Uint8Array>> {
  const { findNode, readFileContent, streamTar, streamZip } = await import('@varve/repository');
  const { archive, refusesArchive, ...place } = options;
  const isFolder = place.path === '/' || (await findNode(repository, place)).type === 'dir';
  if (!isFolder) return readFileContent(repository, place);
  if (refusesArchive) throw terminal();
  // As restic: names in the archive are those in the snapshot.
  const stream = archive === 'zip' ? streamZip : streamTar;
  return stream(repository, { ...place, names: 'full' });
}

function terminal(): AppError {
  return new AppError('USAGE_INVALID', 'An archive would be written to the terminal.', {
    hint: 'Send the output into a file or a program, or give --target.',
  });
}
