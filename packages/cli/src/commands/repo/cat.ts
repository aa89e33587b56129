// `varve repo cat TYPE [ID]`: one object of a repository as it is, on standard output.

import { AppError } from '@varve/base';
import type { FileKind, Repository } from '@varve/repository';
import { examples, type AddCommand } from '../../command.ts';
import {
  addLockOptions,
  addRepositoryOptions,
  openLockedRepository,
  parseSnapshotPath,
  type LockCommandOptions,
} from '../../options/repository-options.ts';
import type { Session } from '../../session.ts';

const types = ['config', 'index', 'snapshot', 'key', 'masterkey', 'lock', 'pack', 'blob', 'tree'] as const;
type ObjectType = (typeof types)[number];

export const addCatCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('cat')
    .description('print one object of a repository; masterkey prints the key that opens everything: keep it secret')
    .argument('<type>', types.join(', '))
    .argument('[id]', 'its id, or the beginning of it; for tree a snapshot, or ID:folder')
    .addHelpText(
      'after',
      examples(
        ['A snapshot as it is stored', 'varve repo cat snapshot 1a2b3c4d'],
        ['What a folder says of its files', 'varve repo cat tree latest:/etc/ssh'],
      ),
    );
  addRepositoryOptions(command);
  addLockOptions(command);
  register(command, async (session) => {
    const options = command.opts<LockCommandOptions>();
    const [type = '', id] = command.args;
    assertType(type, id);
    await using opened = await openLockedRepository(session, options, { exclusive: false });
    await write(session, { repository: opened.repository, signal: opened.signal, type, id: id ?? '' });
  });
};

function assertType(type: string, id: string | undefined): asserts type is ObjectType {
  if (!types.includes(type as ObjectType)) {
    throw new AppError('USAGE_INVALID', `"${type}" is not a type of object.`, {
      hint: `There are: ${types.join(', ')}.`,
    });
  }
  const needsId = type !== 'config' && type !== 'masterkey';
  if (needsId && id === undefined) throw new AppError('USAGE_INVALID', `Which ${type}? Its id is missing.`);
  if (!needsId && id !== undefined) throw new AppError('USAGE_INVALID', `There is one ${type} only: it has no id.`);
}

interface CatOptions {
  readonly repository: Repository;
  readonly signal: AbortSignal;
  readonly type: ObjectType;
  readonly id: string;
}

async function write(session: Session, { repository, signal, type, id }: CatOptions): Promise<void> {
  const { readConfig, readMasterKey, readBlob } = await import('@varve/repository');
  switch (type) {
    case 'config':
      return writeJson(session, readConfig(repository));
    case 'masterkey':
      return writeJson(session, readMasterKey(repository));
    case 'blob':
      await repository.loadIndex({ signal });
      return session.io.out.writeBytes(await readBlob(repository, id, { signal }));
    case 'tree':
      return session.io.out.writeBytes(await readTree(repository, id, signal));
    case 'snapshot': {
      const snapshot = await repository.findSnapshot(id, {}, { signal });
      return writeJson(session, await readFile(repository, 'snapshot', snapshot.id, signal));
    }
    case 'key':
    case 'lock':
      return writeJson(session, await readFile(repository, type, id, signal));
    case 'index':
      await session.io.out.writeBytes(await readFile(repository, type, id, signal));
      return session.io.out.write('\n');
    case 'pack':
      return session.io.out.writeBytes(await readFile(repository, type, id, signal));
  }
}

async function readFile(repository: Repository, kind: FileKind, id: string, signal: AbortSignal): Promise<Uint8Array> {
  const { findFileId, readRepositoryFile } = await import('@varve/repository');
  const options = { signal };
  return readRepositoryFile(repository, kind, await findFileId(repository, kind, id, options), options);
}

/** The tree of a snapshot, or of a folder of one. */
async function readTree(repository: Repository, text: string, signal: AbortSignal): Promise<Uint8Array> {
  const { findTree } = await import('@varve/repository');
  const { name, path } = parseSnapshotPath(text);
  const snapshot = await repository.findSnapshot(name, {}, { signal });
  await repository.loadIndex({ signal });
  return repository.loadBlob('tree', await findTree(repository, { treeId: snapshot.tree, path, signal }), { signal });
}

/** Indented, with every field as it is stored. */
function writeJson(session: Session, json: Uint8Array): void {
  const value: unknown = JSON.parse(Buffer.from(json).toString('utf8'));
  session.io.out.write(`${JSON.stringify(value, null, 2)}\n`);
}
