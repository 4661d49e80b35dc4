import { z } from 'zod';
import { pipelineSchema } from './schema.js';

/** The JSON Schema (draft 7) of `.gantry.yml`, for editors. */
export function pipelineJsonSchema(): object {
  return {
    title: 'Gantry pipeline (.gantry.yml)',
    ...z.toJSONSchema(pipelineSchema, { target: 'draft-7', io: 'input' }),
  };
}
