"""Names and phrases that the company is made of."""

# ruff: noqa: SIM905 - a list of forty quoted names reads worse than the names

FIRST = tuple(
    """
    Ana Luis Marta Carlos Elena Javier Lucía Pablo Carmen Diego Sofía Raúl Paula Andrés Irene Sergio Laura Miguel
    Nuria Álvaro Rosa Iván Clara Óscar Teresa Hugo Silvia Jorge Beatriz Rubén Alicia Víctor Julia Adrián Eva
    Marcos Inés Daniel Olga Tomás
    """.split()
)
LAST = tuple(
    """
    García Fernández González Rodríguez López Martínez Sánchez Pérez Gómez Martín Jiménez Ruiz Hernández Díaz
    Moreno Muñoz Álvarez Romero Alonso Gutiérrez Navarro Torres Domínguez Vázquez Ramos Gil Ramírez Serrano Blanco
    Molina Morales Suárez Ortega Delgado
    """.split()
)
CITIES = tuple(
    """
    Madrid Barcelona Valencia Sevilla Zaragoza Málaga Murcia Bilbao Alicante Córdoba Valladolid Vigo Gijón Granada
    """.split()
)
POSITIONS = (
    "Sales manager",
    "Head of sales",
    "Call centre operator",
    "Architect",
    "Lawyer",
    "Accountant",
    "Marketing",
    "Administrator",
    "Site engineer",
)
DEPARTMENTS = ("Norte", "Sur", "Levante", "Centro", "Baleares")
FIRMS = (
    "Construcciones",
    "Promociones",
    "Inversiones",
    "Reformas",
    "Gestión",
    "Arquitectos",
    "Instalaciones",
    "Materiales",
    "Seguros",
    "Talleres",
)
LEGAL = ("S.L.", "S.A.", "S.Coop.", "e Hijos S.L.")
HOMES = (
    "Piso de 2 dormitorios",
    "Piso de 3 dormitorios",
    "Ático con terraza",
    "Dúplex",
    "Estudio",
    "Chalet adosado",
    "Local comercial",
    "Plaza de garaje",
    "Trastero",
)
QUARTERS = (
    "Los Olivos",
    "Puerta del Mar",
    "Jardines del Turia",
    "Mirador de la Sierra",
    "Nuevo Ensanche",
    "Parque Central",
    "La Alameda",
)
REMARKS = (
    "Quiere visitar la obra el sábado por la mañana.",
    "Pregunta por la hipoteca y los plazos de entrega.",
    "Ya vino con su mujer, falta decidir la planta.",
    "Pide descuento por pago al contado.",
    "Llamar después de las seis de la tarde.",
    "Tiene que vender antes su piso actual.",
    "Interesado en la segunda fase; avisar cuando salga.",
    "Compara con la promoción de la competencia.",
    'Dice: "o con garaje o nada".',
    "Le envié los planos; espera respuesta.",
)
TASKS = (
    "Preparar contrato de reserva",
    "Llamar al notario",
    "Enviar planos actualizados",
    "Revisar la lista de precios",
    "Visita de obra con el cliente",
    "Aclarar el pago del segundo plazo",
    "Cargar fotos de la fachada",
    "Pedir licencia de primera ocupación",
    "Cuadrar las comisiones del mes",
    "Responder a la reclamación",
)
CHAT = (
    "¿Habéis visto el nuevo plano?",
    "El cliente llega en diez minutos.",
    "Te paso el presupuesto.",
    "Perfecto, gracias.",
    "¿Quién atiende el teléfono hoy?",
    "Mañana hay reunión a las nueve.",
    "Subo la foto de la obra.",
    "Falta la firma en la página 3.",
    "Lo miro y te digo.",
    "La web vuelve a dar error en el formulario.",
)
