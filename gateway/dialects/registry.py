"""The four dialects by name: their faces (used by every call) and their translating packages."""

from types import ModuleType

from gateway.dialects import chat, gemini, messages, responses
from gateway.dialects.chat import face as chat_face
from gateway.dialects.gemini import face as gemini_face
from gateway.dialects.messages import face as messages_face
from gateway.dialects.responses import face as responses_face

FACES: dict[str, ModuleType] = {
    face.NAME: face for face in (chat_face, responses_face, messages_face, gemini_face)
}
DIALECTS: dict[str, ModuleType] = {"chat": chat, "responses": responses, "messages": messages, "gemini": gemini}
