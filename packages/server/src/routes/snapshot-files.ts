// What is inside a snapshot, and downloads of it: streamed as fast as the reader takes them, and ended when the reader leaves.

import { z } from '@hono/zod-openapi';
import { messageOf } from '@varve/base';
import { appIdSchema, downloadFormatSchema, snapshotFolderSchema } from '@varve/contract';
import { userOf, type Api, type ServerContext } from '../context.ts';
import { contentDisposition } from './content-disposition.ts';
import { downloadStream } from './download-stream.ts';
import { describeRoute, jsonAnswer } from './route.ts';

const tags = ['snapshots'];
const snapshotParams = z.strictObject({ id: appIdSchema, snapshotId: z.string().min(1).max(64) });
const pathSchema = z.string().min(1).max(32_768);

const listFiles = describeRoute({
  method: 'get',
  path: '/api/apps/{id}/snapshots/{snapshotId}/files',
  tags,
  summary: 'A folder of a snapshot',
  request: {
    params: snapshotParams,
    query: z.strictObject({
      path: pathSchema.default('/'),
      offset: z.coerce.number().int().min(0).optional(),
      limit: z.coerce.number().int().min(1).max(5000).optional(),
    }),
  },
  responses: { 200: jsonAnswer(snapshotFolderSchema, 'The folder, or a page of it.') },
});

/** A reader that takes nothing for so long is given up: the lock of its download keeps prunes waiting. */
const stallMs = 10 * 60_000;

const binary = { schema: z.string().meta({ format: 'binary' }) };

const download = describeRoute({
  method: 'get',
  path: '/api/apps/{id}/snapshots/{snapshotId}/download',
  tags,
  summary: 'A file of a snapshot, or a folder as tar or zip',
  request: {
    params: snapshotParams,
    query: z.strictObject({ path: pathSchema, format: downloadFormatSchema.default('file') }),
  },
  responses: {
    200: {
      description: 'The content. A connection that is cut off means that it is not whole.',
      content: {
        'application/octet-stream': binary,
        'application/x-tar': binary,
        'application/zip': binary,
      },
    },
  },
});

const contentTypes = { file: 'application/octet-stream', tar: 'application/x-tar', zip: 'application/zip' } as const;

export function addSnapshotFileRoutes(api: Api, { varve, logger, shutdown }: ServerContext): void {
  api.openapi(listFiles, async (c) => {
    const { id, snapshotId } = c.req.valid('param');
    const signal = AbortSignal.any([c.req.raw.signal, shutdown]);
    return c.json(await varve.listSnapshotFolder(id, snapshotId, { ...c.req.valid('query'), signal }), 200);
  });
  api.openapi(download, async (c) => {
    const { id, snapshotId } = c.req.valid('param');
    const { path, format } = c.req.valid('query');
    const gone = new AbortController();
    const signal = AbortSignal.any([gone.signal, c.req.raw.signal, shutdown]);
    const opened = await varve.openDownload(id, snapshotId, { path, format, signal });
    logger.info('a part of a snapshot is downloaded', { user: userOf(c).email, app: id, snapshotId, format });
    const headers = {
      'Content-Type': contentTypes[format],
      'Content-Disposition': contentDisposition(opened.name),
      ...(opened.bytes === null ? {} : { 'Content-Length': String(opened.bytes) }),
    };
    if (c.req.method === 'HEAD') {
      await opened[Symbol.asyncDispose]();
      return new Response(null, { headers });
    }
    const onFailure = (error: unknown): void => {
      if (!signal.aborted) logger.error('a download was cut off', { app: id, snapshotId, error: messageOf(error) });
    };
    const cutOff = (): void => void c.env.outgoing.destroy();
    return new Response(downloadStream(opened, { gone, onFailure, cutOff, stallMs }), { headers });
  });
}
